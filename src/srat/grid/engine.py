"""Starts what is missing, watches it, and lets everything end well."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from srat.core.errors import UserError
from srat.core.signals import Interruption
from srat.grid.plan import Job

POLL = 0.2
"""Seconds between two looks."""


class Handle(ABC):
    """A run that was started."""

    @abstractmethod
    def poll(self) -> int | None:
        """Return its exit code, or None while it goes on."""

    @abstractmethod
    def begun(self) -> bool:
        """Return whether it has a place to run in yet."""

    @abstractmethod
    def stop(self, signal: int) -> None:
        """Ask it to save its state and end."""


class Executor(ABC):
    """Where runs are started."""

    slots: int
    """How many go on at the same time, at the most; what is more waits here."""

    @abstractmethod
    def start(self, job: Job, log: Path) -> Handle:
        """Start what is left of a run; what it says goes into the log."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A run that has ended before its end."""

    job: Job
    error: str
    log: Path


class Watcher:
    """Told of what happens; this one says nothing."""

    def started(self, job: Job) -> None:
        """A run has started."""

    def ended(self, job: Job, failure: Failure | None) -> None:
        """A run has ended, well unless there is a failure."""

    def looked(self, running: Sequence[Job]) -> None:
        """A moment has passed; these runs go on."""


def run_grid(
    jobs: Sequence[Job], executor: Executor, interruption: Interruption, watcher: Watcher, *, logs: Path
) -> list[Failure]:
    """Run what is not finished; a run that fails stops no other. The engine keeps nothing: the folders say it all.

    Several grids may share a folder of runs, on several machines too: each takes what no other is at.

    Args:
        jobs: the runs.
        executor: where they run.
        interruption: the signals that have come.
        watcher: told of what happens.
        logs: folder for what each run says.

    Returns:
        Those that failed.

    Raises:
        Interrupted: after a signal, when all that ran has saved its state and ended.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting = [job for job in jobs if not is_finished(job)]
    grid = _Grid(waiting=waiting, executor=executor, watcher=watcher, logs=logs)
    while grid.waiting or grid.running:
        if not interruption.received:
            grid.start_some()
        grid.look()
        if interruption.received:
            grid.stop(interruption.received)
            interruption.check()
        time.sleep(POLL if grid.waiting or grid.running else 0)
    return grid.failures


@dataclass(kw_only=True)
class _Running:
    """A run that goes on."""

    job: Job
    handle: Handle
    log: Path
    said_before: int
    """Bytes that earlier attempts have left in the log."""
    told: bool = False
    """Whether the watcher knows that it has begun."""


@dataclass(kw_only=True)
class _Grid:
    """What waits, what goes on, and what has failed."""

    waiting: list[Job]
    executor: Executor
    watcher: Watcher
    logs: Path
    running: list[_Running] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def start_some(self) -> None:
        """Start what there is room for, but for what another grid is at: that is looked at again later."""
        for job in list(self.waiting):
            if len(self.running) >= self.executor.slots:
                return
            if not job.folder.in_use:
                self.waiting.remove(job)
                self._start(job)

    def look(self) -> None:
        """Take note of what has begun, and of what has ended."""
        for each in list(self.running):
            if not each.told and each.handle.begun():
                each.told = True
                self.watcher.started(each.job)
            code = each.handle.poll()
            if code is not None:
                self.running.remove(each)
                self._end(each, code)
        self.watcher.looked([each.job for each in self.running if each.told])

    def stop(self, number: int) -> None:
        """Ask all that goes on to save its state and end, and wait for that."""
        for each in self.running:
            each.handle.stop(number)
        while any(each.handle.poll() is None for each in self.running):
            self.watcher.looked([each.job for each in self.running])
            time.sleep(POLL)

    def _start(self, job: Job) -> None:
        log = self.logs / f"{job.config.id}.log"
        try:
            if job.finished:  # by another grid
                self.watcher.ended(job, None)
                return
            job.prepare()
            said_before = log.stat().st_size if log.exists() else 0
            handle = self.executor.start(job, log)
        except (UserError, OSError) as error:  # a stranger's folder, a damaged file, a full disk
            self._fail(Failure(job=job, error=str(error), log=log))
        else:
            self.running.append(_Running(job=job, handle=handle, log=log, said_before=said_before))

    def _end(self, each: _Running, code: int) -> None:
        if code == 0 and is_finished(each.job):
            self.watcher.ended(each.job, None)
        elif each.job.folder.in_use:  # another grid was quicker
            self.waiting.append(each.job)
        else:
            self._fail(Failure(job=each.job, error=_error(each, code), log=each.log))

    def _fail(self, failure: Failure) -> None:
        self.failures.append(failure)
        self.watcher.ended(failure.job, failure)


def is_finished(job: Job) -> bool:
    """Return whether nothing is left to do of a run; of one with damaged results something is."""
    try:
        return job.finished
    except UserError:
        return False


def _error(each: _Running, code: int) -> str:
    text = each.log.read_bytes()[each.said_before :].decode(errors="replace") if each.log.exists() else ""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    if said and said[-1].startswith("srat: "):
        return said[-1].removeprefix("srat: ").removeprefix("error: ")
    return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}, before its end"

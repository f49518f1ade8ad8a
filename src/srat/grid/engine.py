"""Starts what is missing, watches it, and lets everything end well."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from srat.errors import UserError
from srat.grid.plan import Job
from srat.interruption import Interruption

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

    places: int
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
    waiting = list(jobs)
    running: dict[str, tuple[Job, Handle]] = {}
    failures: list[Failure] = []
    told: set[str] = set()
    while waiting or running:
        while waiting and len(running) < executor.places and not interruption.received:
            job, log = waiting[0], _log(logs, waiting.pop(0))
            try:
                if not job.finished:
                    job.prepare()
                    running[job.config.id] = (job, executor.start(job, log))
            except (UserError, OSError) as error:  # a stranger's folder, a damaged file, a full disk
                failures.append(Failure(job=job, error=str(error), log=log))
                watcher.ended(job, failures[-1])
        for name, (job, handle) in list(running.items()):
            if name not in told and handle.begun():
                told.add(name)
                watcher.started(job)
            code = handle.poll()
            if code is not None:
                del running[name]
                failure = None if code == 0 and is_finished(job) else _failure(job, _log(logs, job), code)
                failures += [failure] if failure else []
                watcher.ended(job, failure)
        if interruption.received:
            for _, handle in running.values():
                handle.stop(interruption.received)
            _wait(running, lambda: watcher.looked([job for job, _ in running.values()]))
            interruption.check()
        watcher.looked([job for job, handle in running.values() if handle.begun()])
        time.sleep(POLL if running else 0)
    return failures


def _wait(running: dict[str, tuple[Job, Handle]], look: Callable[[], None]) -> None:
    while any(handle.poll() is None for _, handle in running.values()):
        look()
        time.sleep(POLL)


def is_finished(job: Job) -> bool:
    """Return whether nothing is left to do of a run; of one with damaged results something is."""
    try:
        return job.finished
    except UserError:
        return False


def _log(logs: Path, job: Job) -> Path:
    return logs / f"{job.config.id}.log"


def _failure(job: Job, log: Path, code: int) -> Failure:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()] if log.exists() else []
    said = [line for line in lines if line]
    by_signal = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}, before its end"
    told = said[-1] if said and said[-1].startswith("srat: ") else by_signal
    return Failure(job=job, error=told.removeprefix("srat: ").removeprefix("error: "), log=log)

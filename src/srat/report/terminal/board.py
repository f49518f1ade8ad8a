"""A board of all runs of a grid, drawn while they go on; a line for each event where the output is no terminal."""

import time
from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from srat.attacks import Natural
from srat.core.durations import duration
from srat.core.errors import printable
from srat.grid.engine import Failure, Watcher, is_finished
from srat.grid.plan import Job

SHOWN = 12
"""Runs of a kind that are listed at the most."""


class Board(Watcher):
    """The states of a grid's runs; a context.

    Args:
        console: where to draw.
        jobs: all runs.
        slots: how many go on at the same time, at the most.
    """

    def __init__(self, console: Console, jobs: Sequence[Job], slots: int) -> None:
        self._console, self._slots = console, slots
        self._waiting = {job.config.id: job for job in jobs if not is_finished(job)}
        self._total, self._done = len(jobs), len(jobs) - len(self._waiting)
        self._since: dict[str, tuple[float, int]] = {}
        self._failed: list[Failure] = []
        self._seconds: dict[bool, float] = {}
        self._start = time.monotonic()
        self._live = Live(console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> "Board":
        if self._console.is_terminal:
            self._live.start()
        if self._done:
            self._say(f"{self._done} of {self._total} finished already")
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, job: Job) -> None:
        """Note when a run started, and from which epoch."""
        self._since[job.config.id] = (time.monotonic(), job.epochs_done)
        self._waiting.pop(job.config.id, None)
        if not self._console.is_terminal:
            self._say(f"started   {job.label}  ({job.config.id})")

    def ended(self, job: Job, failure: Failure | None) -> None:
        """Say how a run ended."""
        elsewhere = job.config.id not in self._since and failure is None
        since, _ = self._since.pop(job.config.id, (time.monotonic(), 0))
        self._waiting.pop(job.config.id, None)
        took = duration(time.monotonic() - since)
        if failure is None:
            self._done += 1
            how = "by another grid" if elsewhere else f"in {took}"
            self._say(f"finished  {job.label}  {how}, {self._done} of {self._total}")
        else:
            self._failed.append(failure)
            self._say(f"failed    {job.label}  after {took}: {failure.error}", style="red")

    def looked(self, running: Sequence[Job]) -> None:
        """Draw the board."""
        for job in running:
            since, first = self._since.get(job.config.id, (time.monotonic(), 0))
            if (epochs := job.epochs_done - first) > 0:
                self._seconds[_natural(job)] = (time.monotonic() - since) / epochs
        if self._console.is_terminal:
            self._live.update(self._drawn(running))

    def _drawn(self, running: Sequence[Job]) -> RenderableType:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading, side in (("run", "left"), ("state", "left"), ("epoch", "right"), ("", "left"), ("left", "right")):
            table.add_column(heading, justify=side, no_wrap=True)  # type: ignore[arg-type]
        for job in running[:SHOWN]:
            done = job.epochs_done
            phase = "training" if done < job.config.epochs else "evaluating"
            bar = ProgressBar(total=job.config.epochs, completed=done, width=24)
            left = self._left(job, done)
            table.add_row(Text(printable(job.label)), phase, f"{done}/{job.config.epochs}", bar, left)
        for job in list(self._waiting.values())[: max(0, SHOWN - len(running))]:
            table.add_row(Text(printable(job.label), style="dim"), Text("waiting", style="dim"), "", "", "")
        said = f"{self._done} of {self._total} finished, {len(running)} running, {len(self._waiting)} waiting"
        if self._failed:
            said += f", {len(self._failed)} failed"
        return Group(table, Text(f"{said}; {duration(time.monotonic() - self._start)} so far{self._all_left(running)}"))

    def _left(self, job: Job, done: int) -> str:
        seconds = self._seconds.get(_natural(job))
        return "" if seconds is None else duration(seconds * (job.config.epochs - done))

    def _all_left(self, running: Sequence[Job]) -> str:
        jobs = [*running, *self._waiting.values()]
        known = [self._seconds.get(_natural(job)) for job in jobs]
        if not jobs or any(seconds is None for seconds in known):
            return ""
        left = sum(
            (seconds or 0.0) * max(0, job.config.epochs - job.epochs_done)
            for job, seconds in zip(jobs, known, strict=True)
        )
        return f", about {duration(left / max(1, min(self._slots, len(running))))} left"

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(printable(text), style=style), soft_wrap=True)


def _natural(job: Job) -> bool:
    return isinstance(job.config.attack, Natural)

"""Progress, drawn while it happens; plain lines where the output is no terminal."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from srat.core.durations import roughly
from srat.core.errors import printable
from srat.evaluation.observer import Observer
from srat.report.terminal.pace import Pace

LONG = 600.0
"""Seconds of training from which on it is said how long it will take."""
KNOWN = 5.0
"""Seconds of steps after which that is known well enough."""
SILENCE = 60.0
"""Seconds without a line, where the output is no terminal, after which there is one."""
_MEMORY = 3600.0
"""Seconds of steps by which a bar tells the time left; with few, it could tell nothing of steps as long as these."""


class PatientConsole(Console):
    """A console that falls silent when its reader leaves, as ``| head`` does: what is going on shall go on.

    Args:
        words: makes of a text that is to be printed what is shown.
        options: rich's.
    """

    def __init__(self, *, words: Callable[[str], str] = str, **options: Any) -> None:
        super().__init__(**options)
        self._words = words

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts, and whatever else rich can."""
        super().print(*(self._words(each) if isinstance(each, str) else each for each in objects), **options)

    def on_broken_pipe(self) -> None:
        """Print into nothing from now on."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_console(*, quiet: bool = False, stderr: bool = False, words: Callable[[str], str] = str) -> Console:
    """Return the console to print to; where it is no terminal, nothing is cut to a width.

    Args:
        quiet: whether it prints nothing.
        stderr: whether it prints to the standard error.
        words: makes of a text that is to be printed what is shown.
    """
    console = PatientConsole(quiet=quiet, stderr=stderr, words=words)
    return console if console.is_terminal else PatientConsole(quiet=quiet, stderr=stderr, words=words, width=200)


class LiveObserver(Observer):
    """Draws a bar with the time left, and below it loss and accuracies; a context, so that no error leaves it behind.

    Args:
        console: where to draw.
        between: called between two batches of images that are read or evaluated; it may raise to end that. A training
            ends by itself, with all its processes at the same step.
        lines: whether to say in lines, where the output is no terminal, what would be drawn in one.
        attacked: whether a training attacks its images.
        begin: called before a training begins, once its data and model are ready.
        clock: seconds from any moment on.
    """

    def __init__(
        self,
        console: Console,
        between: Callable[[], None] = lambda: None,
        *,
        lines: bool = True,
        attacked: bool = True,
        begin: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._attacked = attacked
        self._lines = lines
        self._between = between
        self._begin = begin
        self._bar = make_bar()
        self._below = Text()
        self._live = Live(console=console)
        self._epochs = self._steps = self._done = 0
        self._clock, self._spoke = clock, clock()
        self._pace, self._foretold = Pace(0, clock), False

    def __enter__(self) -> "LiveObserver":
        return self

    def __exit__(self, *_: object) -> None:
        self.finished()

    def ready(self) -> None:
        """Say what begins."""
        self._begin()

    def training(self, *, epochs: int, steps: int, done: int) -> None:
        """Start the bar of a training run."""
        self._epochs, self._steps, self._done = epochs, steps, done
        self._pace, self._foretold = Pace(epochs * steps - done, self._clock), False
        if done:
            inside = f"from epoch {done // steps + 1}, step {done % steps}"
            where = inside if done % steps else f"after epoch {done // steps}"
            self._console.print(f"continuing {where}", highlight=False)
        self._start("training", total=epochs * steps, completed=done, stays=True)

    def reading(self, *, images: int) -> None:
        """Start the bar of files that are read."""
        self._start("reading images", total=images, completed=0, stays=False)

    def evaluating(self, name: str, *, images: int) -> None:
        """Start the bar of an evaluation, or say so where there is no terminal to draw in."""
        if self._lines and not self._console.is_terminal:
            self._console.print(f"evaluating {name} …", highlight=False)
        self._start(f"evaluating {name}", total=images, completed=0, stays=False)

    def step(self) -> None:
        """Advance the bar, and say how long it takes: of a long training once, and now and then without a terminal."""
        self._advance(1)
        self._done += 1
        self._pace.step()
        if self._lines:
            self._foretell()
            self._break_silence()

    def images_done(self, count: int) -> None:
        """Advance the bar, and end here if that is asked for; without a terminal, say now and then how far it is."""
        self._advance(count)
        if self._lines and self._silent:
            (task,) = self._bar.tasks
            self._say_in_between(f"{task.description}: {task.completed:,.0f} of {task.total or 0:,.0f} images")
        self._between()

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Show an epoch's metrics below the bar, or as a line where there is no terminal to draw in."""
        epoch = f"epoch {row['epoch'] + 1:{len(str(self._epochs))}d}/{self._epochs}"
        said = f"{epoch}  {_metrics(row, attacked=self._attacked)}"
        if self._console.is_terminal:
            self._below.plain = said
        elif self._lines:
            self._console.print(said, highlight=False, soft_wrap=True)
            self._spoke = self._clock()

    def notice(self, text: str) -> None:
        """Print a notice above the bar."""
        self._console.print(f"note: {printable(text)}", style="yellow", highlight=False, markup=False, soft_wrap=True)

    def finished(self) -> None:
        """Take the bar down; what a training run showed last stays."""
        self._live.stop()

    def _foretell(self) -> None:
        left = self._pace.seconds_left
        if self._foretold or left is None or self._pace.elapsed < KNOWN:
            return
        self._foretold = True
        if left >= LONG:
            self._console.print(f"the training will take about {roughly(left)} on this machine", highlight=False)

    def _break_silence(self) -> None:
        left = self._pace.seconds_left
        if left is None or not self._silent:
            return
        epoch, step = divmod(self._done - 1, self._steps)
        where = f"epoch {epoch + 1}/{self._epochs}, step {step + 1} of {self._steps}"
        self._say_in_between(f"{where}, about {roughly(left)} left")

    @property
    def _silent(self) -> bool:
        """Whether there is no terminal, and nothing was said for long."""
        return not self._console.is_terminal and self._clock() - self._spoke >= SILENCE

    def _say_in_between(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        self._spoke = self._clock()

    def _advance(self, count: int) -> None:
        for task in self._bar.task_ids:
            self._bar.advance(task, count)

    def _start(self, name: str, *, total: int, completed: int, stays: bool) -> None:
        self.finished()
        self._spoke = self._clock()
        self._bar, self._below = make_bar(), Text()
        self._bar.add_task(name, total=total, completed=completed)
        if self._console.is_terminal:
            self._live = Live(Group(self._bar, self._below), console=self._console, transient=not stays)
            self._live.start()


def make_bar() -> Progress:
    """Return an empty bar."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        speed_estimate_period=_MEMORY,
    )


def _metrics(row: Mapping[str, Any], *, attacked: bool) -> str:
    text = f"loss {row['loss']:.3f}  {'attacked: ' if attacked else ''}train {100 * row['train_accuracy']:.1f} %"
    if "held_out_robust" in row:
        clean = f" (clean {100 * row['held_out_clean']:.1f} %)" if attacked else ""
        text += f", held out {100 * row['held_out_robust']:.1f} %{clean}"
    return text + ("  weighted" if row["weights_apply"] else "")

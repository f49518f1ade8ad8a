"""Progress, drawn while it happens; plain lines where the output is no terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from srat.observer import Observer


class LiveObserver(Observer):
    """Draws a bar with loss, accuracies and the time left.

    Args:
        console: where to draw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._epochs = 0

    def training(self, *, epochs: int, done: int, steps: int) -> None:
        """Start the bar of a training run."""
        self._epochs = epochs
        self._start("training", total=epochs * steps, completed=done * steps)

    def evaluating(self, name: str, *, batches: int) -> None:
        """Start the bar of an evaluation."""
        self._start(f"evaluating {name}", total=batches, completed=0)

    def step(self) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Show an epoch's metrics in the bar, or as a line where there is no terminal to draw in."""
        text = _metrics(row)
        if self._bar is not None:
            self._bar.update(self._task, metrics=text)
        if not self._console.is_terminal:
            self._console.print(
                f"epoch {row['epoch'] + 1:{len(str(self._epochs))}d}/{self._epochs}  {text}",
                highlight=False,
                soft_wrap=True,
            )

    def finished(self) -> None:
        """Take the bar down; what it showed last stays."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start(self, name: str, *, total: int, completed: int) -> None:
        self.finished()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
        )
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(name, total=total, completed=completed, metrics="")
        self._bar.start()


def _metrics(row: Mapping[str, Any]) -> str:
    text = f"loss {row['loss']:.3f}  under attack: train {100 * row['train_accuracy']:.1f} %"
    if "held_out_robust" in row:
        text += f", held out {100 * row['held_out_robust']:.1f} % (clean {100 * row['held_out_clean']:.1f} %)"
    return text + ("  weighted" if row["weights_apply"] else "")

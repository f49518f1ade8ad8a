"""Class distributions, printed and drawn (the paper's Figures 13 and 14)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.text import Text

from srat.evaluation.groups import groups
from srat.report.plots import UNDER, WELL, check_plot, draw, legend_of_groups
from srat.report.terminal.listing import Listing
from srat.report.terminal.names import fitted
from srat.report.terminal.scopes import class_name, titled_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 24
"""Characters of a name in a plot."""


@dataclass(frozen=True)
class _Bar:
    """A bar as long as its share of the room."""

    share: float
    color: str

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        del console, options
        return Measurement(1, 32)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        del console
        yield Text("█" * max(1, round(options.max_width * self.share)), style=self.color)


def rare(counts: Sequence[int]) -> tuple[int, ...]:
    """Return the under-represented classes; none where all have as many images."""
    return groups(counts).under


def distribution_table(
    class_names: Sequence[str], counts: Sequence[int], available: Sequence[int], *, title: str
) -> Listing:
    """Return a table with a bar for the images of each class, those kept and those there were."""
    table = titled_table(title, keys=2)
    table.add_column("label", justify="right", no_wrap=True)
    table.add_column("class")
    for heading in ("kept", "of"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", min_width=8)
    under = rare(counts)
    for c, (name, kept, there) in enumerate(zip(class_names, counts, available, strict=True)):
        bar = _Bar(kept / max(counts), UNDER if c in under else WELL)
        table.add_row(str(c), class_name(name), f"{kept:,}", f"{there:,}", bar)
    return table


def draw_distribution(class_names: Sequence[str], counts: Sequence[int], path: Path, *, title: str) -> None:
    """Draw the counts as bars into a file; its ending decides the format.

    Raises:
        UserError: if matplotlib is not installed, or the file cannot be a plot.
    """
    check_plot(path)
    shown = fitted(dict.fromkeys(class_names, LONGEST))
    names = [shown[name] for name in class_names]
    draw([path], lambda: _figure(names, counts, title))


def _figure(class_names: Sequence[str], counts: Sequence[int], title: str) -> "Figure":
    from matplotlib.figure import Figure

    under = rare(counts)
    figure = Figure(figsize=(max(4.0, 0.45 * len(counts) + 1.2), 3.0), layout="constrained")
    axes = figure.subplots()
    bars = axes.bar(range(len(counts)), counts, color=[UNDER if c in under else WELL for c in range(len(counts))])
    if len(counts) <= 20:
        axes.bar_label(bars, labels=[f"{count:,}" for count in counts], fontsize=7, padding=1)
        axes.set_xticks(range(len(counts)), class_names, rotation=45, ha="right", fontsize=8)
    else:
        axes.set_xlabel("class")
    axes.set_ylabel("training images")
    axes.set_title(title, loc="left")
    if under:
        legend_of_groups(figure)
    return figure

"""Class distributions, printed and drawn (the paper's Figures 13 and 14)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from srat.errors import printable
from srat.evaluation import groups
from srat.report.drawing import UNDER, WELL, check_plot, draw, legend_of_groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAR, LONGEST = 32, 24


def rare(counts: Sequence[int]) -> tuple[int, ...]:
    """Return the under-represented classes; none where all have as many images."""
    return groups(counts).under if len(set(counts)) > 1 else ()


def distribution_table(
    class_names: Sequence[str], counts: Sequence[int], available: Sequence[int], *, title: str
) -> Table:
    """Return a table with a bar for the images of each class, those kept and those there were."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for heading, side in (("label", "right"), ("class", "left"), ("kept", "right"), ("of", "right"), ("", "left")):
        table.add_column(heading, justify=side, no_wrap=True)  # type: ignore[arg-type]
    under = rare(counts)
    for c, (name, kept, there) in enumerate(zip(class_names, counts, available, strict=True)):
        bar = Text("█" * max(1, round(BAR * kept / max(counts))), style=UNDER if c in under else WELL)
        table.add_row(str(c), Text(_shortened(printable(name))), f"{kept:,}", f"{there:,}", bar)
    return table


def draw_distribution(class_names: Sequence[str], counts: Sequence[int], path: Path, *, title: str) -> None:
    """Draw the counts as bars into a file; its ending decides the format.

    Raises:
        UserError: if matplotlib is not installed, or the file cannot be a plot.
    """
    check_plot(path)
    names = [_shortened(printable(name)) for name in class_names]
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


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"

"""How many training images the classes have under several imbalances."""

from typing import TYPE_CHECKING

from srat.data.imbalance import realised_ratio
from srat.report.paper.outcome import Outcome
from srat.report.plots import COLUMN, UNDER, WELL, legend_of_groups
from srat.report.sheets import Sheet
from srat.report.terminal.distribution import rare

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sheets(outcome: Outcome) -> list[Sheet]:
    """Return the counts: a column for each imbalance."""
    counts, names = _counts(outcome)
    rows = [[name, *(f"{counts[column][c]:,}" for column in counts)] for c, name in enumerate(names)]
    rows.append(["in all", *(f"{sum(each):,}" for each in counts.values())])
    rows.append(["largest to smallest", *(f"{realised_ratio(each):.1f} : 1" for each in counts.values())])
    return [Sheet(title=outcome.title, headings=["class", *counts], rows=rows)]


def figure(outcome: Outcome) -> "Figure":
    """Return bars of the counts: a panel for each imbalance."""
    from matplotlib.figure import Figure

    counts, names = _counts(outcome)
    drawn = Figure(figsize=(COLUMN, 2.8), layout="constrained")
    panels = drawn.subplots(2, (len(counts) + 1) // 2, sharex=True, sharey=True, squeeze=False)
    for axes, (column, each) in zip(panels.flat, counts.items(), strict=False):
        under = rare(each)
        bars = axes.bar(range(len(each)), each, color=[UNDER if c in under else WELL for c in range(len(each))])
        axes.bar_label(bars, labels=[f"{count:,}" for count in each], fontsize=5, padding=1, rotation=90)
        axes.margins(y=0.25)
        axes.set_title(f"{column}: {sum(each):,} images", loc="left")
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    for row in panels:
        row[0].set_ylabel("training images")
    legend_of_groups(drawn)
    return drawn


def _counts(outcome: Outcome) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
    """Return the counts by column, and the classes' names; the data set itself is read."""
    train = outcome.cells[0].config.data.train()
    return {
        cell.column: cell.config.imbalance.counts(train.counts, seed=cell.config.seed) for cell in outcome.cells
    }, train.class_names

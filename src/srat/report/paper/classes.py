"""Class by class: natural beside adversarial training."""

from typing import TYPE_CHECKING

from srat.evaluation.groups import groups
from srat.recipes.base import Metric
from srat.report.paper.outcome import Outcome
from srat.report.plots import COLUMN, UNDER, WELL, error_bars, legend_of_groups, percent_axis
from srat.report.sheets import Sheet, accuracy_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_METRICS: tuple[Metric, ...] = ("standard", "robust")


def sheets(outcome: Outcome) -> list[Sheet]:
    """Return a table of the classes, and of their groups."""
    there = [cell for cell in outcome.cells if outcome.evaluations.get((cell.row, cell.column))]
    if not there:
        return []
    evaluation = outcome.evaluations[there[0].row, there[0].column][0]
    headings = ["class", "images", *(f"{cell.row}, {metric}" for cell in there for metric in _METRICS)]
    rows = [
        [
            name,
            f"{evaluation.train_counts[c]:,}",
            *(
                accuracy_text(outcome.of_classes(cell.row, cell.column, metric, [c]))
                for cell in there
                for metric in _METRICS
            ),
        ]
        for c, name in enumerate(evaluation.class_names)
    ]
    for scope in ("overall", "well", "under"):
        cells = (outcome.accuracy(cell.row, cell.column, metric, scope) for cell in there for metric in _METRICS)
        rows.append([scope, "", *map(accuracy_text, cells)])
    return [Sheet(title=outcome.title, headings=headings, rows=rows, note="In per cent, with 95 % intervals.")]


def figure(outcome: Outcome) -> "Figure":
    """Return bars of each class's accuracy: a row of panels for each way of training."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(COLUMN, 1.25 * len(outcome.cells) + 0.5), layout="constrained")
    panels = drawn.subplots(len(outcome.cells), 2, sharex=True, squeeze=False)
    for cell, row in zip(outcome.cells, panels, strict=True):
        found = outcome.evaluations.get((cell.row, cell.column), ())
        for axes, metric in zip(row, _METRICS, strict=True):
            axes.set_title(f"{cell.row} training", loc="left")
            percent_axis(axes, metric)
            if not found:
                continue
            under, names = groups(found[0].train_counts).under, found[0].class_names
            values = [outcome.of_classes(cell.row, cell.column, metric, [c]) for c in range(len(names))]
            axes.bar(
                range(len(names)),
                [100 * value.accuracy for value in values],
                yerr=error_bars(*values),
                color=[UNDER if c in under else WELL for c in range(len(names))],
                error_kw={"elinewidth": 0.8},
            )
            axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    legend_of_groups(drawn)
    return drawn

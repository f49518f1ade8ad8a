"""Curves over a setting: a weight, or λ."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from srat.recipes.base import Metric, Scope
from srat.report.paper.outcome import Outcome
from srat.report.plots import COLORS, COLUMN, MARKERS, error_bars, percent_axis
from srat.report.sheets import Sheet, accuracy_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_METRICS: tuple[Metric, ...] = ("standard", "robust")
_SCOPES: tuple[Scope, ...] = ("well", "under", "overall")
_NAMES = {"well": "well-represented", "under": "under-represented", "overall": "overall"}
_APART = 0.12
"""Of the axis, between two of its marks."""


def sheets(outcome: Outcome) -> list[Sheet]:
    """Return a table for each row: what is swept, and the accuracies."""
    found = []
    for row in outcome.rows:
        columns = [column for column in outcome.columns if outcome.evaluations.get((row, column))]
        pairs = [(metric, scope) for metric in _METRICS for scope in _SCOPES]
        rows = [
            [column, *(accuracy_text(outcome.accuracy(row, column, *pair)) for pair in pairs)] for column in columns
        ]
        headings = [outcome.recipe.axis, *(f"{metric}, {scope}" for metric, scope in pairs)]
        title = f"{outcome.title}: {row}"
        if rows:
            found.append(Sheet(title=title, headings=headings, rows=rows, note="In per cent, with 95 % intervals."))
    return found


def figure(outcome: Outcome) -> "Figure":
    """Return a pair of panels for each row, standard and robust accuracy, with a curve for each group."""
    from matplotlib.figure import Figure

    rows = [row for row in outcome.rows if any(outcome.evaluations.get((row, c)) for c in outcome.columns)]
    drawn = Figure(figsize=(COLUMN, 1.3 * max(1, len(rows)) + 0.35), layout="constrained")
    panels = drawn.subplots(max(1, len(rows)), 2, squeeze=False, sharex=True)
    for row, pair in zip(rows, panels, strict=False):
        for axes, metric in zip(pair, _METRICS, strict=True):
            for number, scope in enumerate(_SCOPES):
                values = {float(c): outcome.accuracy(row, c, metric, scope) for c in outcome.columns}
                there = {x: value for x, value in values.items() if value is not None}
                axes.errorbar(
                    list(there),
                    [100 * value.accuracy for value in there.values()],
                    yerr=error_bars(*there.values()),
                    marker=MARKERS[number],
                    color=COLORS[number] if scope != "overall" else COLORS[6],
                    linestyle="--" if scope == "overall" else "-",
                    elinewidth=0.8,
                    clip_on=False,  # marks at 0 and 100 % are whole
                    label=_NAMES[scope],
                )
            axes.set_title(row, loc="left")
            percent_axis(axes, metric)
    for axes in panels[-1]:
        axes.set_xlabel(outcome.recipe.axis)
        axes.set_xticks(*_ticks(outcome.columns))
    handles, labels = drawn.axes[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=3)
    return drawn


def _ticks(columns: Sequence[str]) -> tuple[list[float], list[str]]:
    """Return what was swept as marks of the axis, but for those that would touch the one before."""
    kept: list[str] = []
    room = _APART * (float(columns[-1]) - float(columns[0]))
    for column in columns:
        if not kept or float(column) - float(kept[-1]) >= room:
            kept.append(column)
    return [float(column) for column in kept], kept

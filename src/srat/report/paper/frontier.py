"""Accuracy under attack against what the training costs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from srat.config.passes import relative_passes
from srat.recipes.base import Scope
from srat.report.paper.methods import accuracy_label, worst_note
from srat.report.paper.outcome import Outcome
from srat.report.plots import COLORS, PAGE, error_bars
from srat.report.sheets import Sheet, accuracy_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SCOPES: Mapping[Scope, str] = {"overall": "all classes", "under": "under-represented classes"}
_COST = "cost (epochs of PGD-10)"
_NOTE = (
    "In per cent, with 95 % intervals. The cost is that of all attacks and updates of a run, in passes through the "
    "network; an epoch of PGD-10 is 1, and a guard's probes do not count. ★: no run of the same cost or less has more; "
    "where intervals overlap that may be chance, and the highest of many is rather too high."
)


class Point(NamedTuple):
    """A run."""

    cost: float
    """What its training takes, in any unit."""
    accuracy: float
    """What it comes to."""


def frontier(points: Mapping[str, Point]) -> list[str]:
    """Return the names of those that none of the same cost or less is above, from the cheapest on.

    Args:
        points: by their names.
    """
    best, found = float("-inf"), []
    for name in by_cost(points):
        if points[name].accuracy >= best:
            best = points[name].accuracy
            found.append(name)
    return found


def by_cost(points: Mapping[str, Point]) -> list[str]:
    """Return the names from the cheapest on, of those that cost the same the best first."""
    return sorted(points, key=lambda name: (points[name].cost, -points[name].accuracy))


def sheets(outcome: Outcome) -> list[Sheet]:
    """Return a table for each imbalance, from the cheapest run on."""
    return [_sheet(outcome, column) for column in outcome.columns if _points(outcome, column, "overall")]


def _sheet(outcome: Outcome, column: str) -> Sheet:
    points = {scope: _points(outcome, column, scope) for scope in _SCOPES}
    ahead = {scope: frontier(points[scope]) for scope in _SCOPES}
    rows = []
    for row in by_cost(points["overall"]):
        texts = [
            accuracy_text(outcome.accuracy(row, column, outcome.judged_by, scope)) + " ★" * (row in ahead[scope])
            for scope in _SCOPES
        ]
        rows.append([row, f"{points['overall'][row].cost:.1f}", *texts])
    headings = ["method", _COST, *_SCOPES.values()]
    note = f"{_NOTE}{worst_note(outcome)}"
    return Sheet(title=f"{outcome.title}: {column}", headings=headings, rows=rows, note=note)


def figure(outcome: Outcome) -> "Figure":
    """Return a row of panels for each imbalance: all classes and the rare ones, with the frontier as steps."""
    from matplotlib.figure import Figure

    columns = [column for column in outcome.columns if _points(outcome, column, "overall")]
    drawn = Figure(figsize=(PAGE, 2.6 * max(1, len(columns))), layout="constrained")
    panels = drawn.subplots(max(1, len(columns)), len(_SCOPES), squeeze=False, sharex=True)
    for column, row in zip(columns, panels, strict=False):
        for axes, (scope, title) in zip(row, _SCOPES.items(), strict=True):
            _draw(axes, outcome, column, scope)
            axes.set_title(f"{column}, {title}", loc="left")
    for axes in panels[-1]:
        axes.set_xlabel(_COST)
    for axes in panels[:, 0]:
        axes.set_ylabel(accuracy_label(outcome.judged_by))
    return drawn


def _draw(axes: "Axes", outcome: Outcome, column: str, scope: Scope) -> None:
    points = _points(outcome, column, scope)
    ahead = frontier(points)
    for name, point in points.items():
        accuracy = outcome.accuracy(name, column, outcome.judged_by, scope)
        assert accuracy is not None
        color = COLORS[1] if name in ahead else "#999999"
        axes.errorbar(point.cost, 100 * point.accuracy, yerr=error_bars(accuracy), marker="o", color=color)
    steps = [points[name] for name in ahead]
    edge = max(point.cost for point in points.values())
    costs, heights = [step.cost for step in steps], [100 * step.accuracy for step in steps]
    axes.plot([*costs, edge], [*heights, heights[-1]], drawstyle="steps-post", color=COLORS[1], linewidth=0.8)
    for name in ahead:
        place = (points[name].cost, 100 * points[name].accuracy)
        axes.annotate(name, place, xytext=(4, 4), textcoords="offset points", fontsize=6)
    axes.margins(x=0.15)
    # Not as far as intervals go: those of few seeds would leave no room for the points.
    axes.set_ylim(0, max(1.0, 125 * max(point.accuracy for point in points.values())))


def _points(outcome: Outcome, column: str, scope: Scope) -> dict[str, Point]:
    """Return what is there of an imbalance."""
    found, metric = {}, outcome.judged_by
    for cell in outcome.cells:
        accuracy = outcome.accuracy(cell.row, column, metric, scope) if cell.column == column else None
        if accuracy is not None:
            found[cell.row] = Point(relative_passes(cell.config) * cell.config.epochs, accuracy.accuracy)
    return found

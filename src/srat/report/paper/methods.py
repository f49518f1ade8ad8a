"""Tables of methods: ours beside the paper's, and how alike the methods rank."""

from typing import TYPE_CHECKING, Any

from srat.recipes.base import Metric, Scope
from srat.report.paper.outcome import Outcome
from srat.report.plots import COLORS, COLUMN, MARKERS, error_bars
from srat.report.sheets import Sheet, accuracy_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_DRAWN: tuple[Scope, ...] = ("overall", "under")
_ALIKE = (
    "In per cent, with 95 % intervals; ≈: the difference to the paper's number, which is of one seed, has 0 in its "
    "interval (said from two seeds of ours on)."
)
_UNLIKE = "In per cent, with 95 % intervals. The paper's runs are others: its order is to be compared, not its numbers."


def shown(outcome: Outcome) -> list[tuple[Metric, Scope]]:
    """Return the accuracies that tables have: the worst case, too, where runs are evaluated under several attacks."""
    metrics: tuple[Metric, ...] = ("standard", "robust", *(("worst",) if outcome.recipe.attacks else ()))
    return [(metric, scope) for metric in metrics for scope in _DRAWN]


def sheets(outcome: Outcome) -> list[Sheet]:
    """Return a table of accuracies for each imbalance, and one of rank correlations."""
    return [*(_accuracies(outcome, column) for column in _columns(outcome)), *_ranks(outcome)]


def figure(outcome: Outcome) -> "Figure":
    """Return the methods' robust accuracies, overall and of the rare classes, as points with intervals."""
    from matplotlib.figure import Figure

    columns = _columns(outcome)
    drawn = Figure(figsize=(COLUMN, 0.3 + (0.5 + 0.16 * len(outcome.rows)) * len(columns)), layout="constrained")
    for axes, column in zip(drawn.subplots(len(columns), 1, squeeze=False)[:, 0], columns, strict=True):
        for number, scope in enumerate(_DRAWN):
            style = {"marker": MARKERS[number], "color": COLORS[number], "linestyle": "none"}
            for place, row in enumerate(outcome.rows):
                height = place + 0.16 * (2 * number - 1)
                if (ours := outcome.accuracy(row, column, outcome.judged_by, scope)) is not None:
                    axes.errorbar(100 * ours.accuracy, height, xerr=error_bars(ours), **style)
                if (papers := outcome.paper(row, column, "robust", scope)) is not None:
                    axes.plot(100 * papers, height, markerfacecolor="none", **style)
        axes.set_yticks(range(len(outcome.rows)), outcome.rows)
        axes.set_ylim(len(outcome.rows) - 0.5, -0.5)
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.set(xlabel=accuracy_label(outcome.judged_by), title=column, xlim=(-1.5, None))
    drawn.legend(handles=_legend(with_paper=bool(outcome.recipe.paper)), loc="outside lower center", ncols=2)
    return drawn


def _legend(*, with_paper: bool) -> "list[Line2D]":
    from matplotlib.lines import Line2D

    marks = []
    for color, marker, scope in zip(COLORS, MARKERS, _DRAWN, strict=False):
        for whose, fill in (("ours", color), ("paper", "none"))[: 1 + with_paper]:
            style: dict[str, Any] = {"color": color, "marker": marker, "markerfacecolor": fill, "linestyle": "none"}
            marks.append(Line2D([], [], label=f"{whose}, {scope}" if with_paper else scope, **style))
    return marks


def _columns(outcome: Outcome) -> list[str]:
    return [
        column
        for column in outcome.columns
        if any(outcome.accuracy(row, column, "standard", "overall") for row in outcome.rows)
    ]


def _accuracies(outcome: Outcome, column: str) -> Sheet:
    headings, rows = ["method"], [[row] for row in outcome.rows]
    for metric, scope in shown(outcome):
        headings.append(f"{metric}, {scope}")
        for row, cells in zip(outcome.rows, rows, strict=True):
            cells.append(accuracy_text(outcome.accuracy(row, column, metric, scope)))
        if not outcome.recipe.paper:
            continue
        headings.append("paper")
        for row, cells in zip(outcome.rows, rows, strict=True):
            papers, alike = outcome.paper(row, column, metric, scope), outcome.agrees(row, column, metric, scope)
            cells.append("–" if papers is None else f"{100 * papers:.2f}{' ≈' if alike else ''}")
    if not outcome.recipe.paper and outcome.positives:
        headings.append("rare anchors with a positive")
        for row, cells in zip(outcome.rows, rows, strict=True):
            shares = outcome.positives.get((row, column), ())
            cells.append(f"{100 * sum(shares) / len(shares):.0f}" if shares else "–")
    return Sheet(
        title=f"{outcome.title}: {column}",
        headings=headings,
        rows=rows,
        note=_note(outcome),
    )


def accuracy_label(metric: Metric) -> str:
    """Return what an axis of accuracies is called."""
    return f"{'worst-case' if metric == 'worst' else metric} accuracy (%)"


def worst_note(outcome: Outcome) -> str:
    """Return which attacks the worst case is over, after a space; nothing where there is none."""
    several = ", ".join((outcome.cells[0].config.evaluation.label, *outcome.recipe.attacks))
    return f" Worst: images that no attack breaks ({several})." if outcome.recipe.attacks else ""


def _note(outcome: Outcome) -> str:
    if not outcome.recipe.paper:
        return f"In per cent, with 95 % intervals.{worst_note(outcome)}"
    return _ALIKE if outcome.like_the_paper else _UNLIKE


def _ranks(outcome: Outcome) -> list[Sheet]:
    from scipy.stats import kendalltau

    rows = []
    for column in _columns(outcome):
        for metric, scope in shown(outcome):
            pairs = [
                (ours.accuracy, papers)
                for row in outcome.rows
                if (ours := outcome.accuracy(row, column, metric, scope)) is not None
                and (papers := outcome.paper(row, column, metric, scope)) is not None
            ]
            if len(pairs) >= 3:
                found = kendalltau(*zip(*pairs, strict=True))
                numbers = (f"{found.statistic:+.2f}", f"{found.pvalue:.3f}", f"{len(pairs)}")
                rows.append((f"{column}, {metric}, {scope}", *numbers))
    if not rows:
        return []
    note = "Kendall's τ: +1 is the same order, 0 none, −1 the reverse; p of no relation at all."
    return [
        Sheet(
            title="How alike the methods rank here and there", headings=("", "τ", "p", "methods"), rows=rows, note=note
        )
    ]

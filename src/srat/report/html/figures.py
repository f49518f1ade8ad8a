"""Precision, F1, areas under the curve, and whether probabilities say what happens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from srat.core.words import counted
from srat.evaluation.probabilities import Probabilities
from srat.evaluation.record import CLEAN, Result
from srat.report.html.record import RunRecord
from srat.runs.calibration import Calibration

SIDE = 200.0
"""Of the square that confidence and accuracy span, in units of the drawing."""
_UNKNOWN = "–"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A bin of confidence: how many of its images are right, beside what the model said."""

    left: float
    width: float
    right: float
    """The share of right images, as a height."""
    said: float
    """The mean confidence, as a height."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """How often a model is right at each confidence, as a drawing."""

    side = SIDE
    columns: Sequence[Column]
    error: str
    """The expected calibration error, in per cent."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What is quoted of a classifier beside its accuracy."""

    headings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    """Of each class, the most frequent first, and of their mean."""
    reliability: Reliability | None
    scaled: str
    """What a temperature makes of the calibration error; "" where none was fitted."""


def figures_of(record: RunRecord) -> Figures | None:
    """Return a run's further figures, clean and under the attack that robustness is told by; None if none is known."""
    attacked = {
        name: result
        for name, result in record.evaluation.results.items()
        if name != CLEAN and result.taken is not None  # a worst case takes an image for no one class
    }
    hardest = sorted(attacked, key=lambda name: sum(attacked[name].counts.correct))[:1]
    results = {CLEAN: record.clean} | {name: attacked[name] for name in hardest}
    known = {name: result for name, result in results.items() if result.taken is not None}
    found = record.clean.probabilities
    if not known and found is None:
        return None
    columns = [column for name, result in known.items() for column in _of_result(name, result)]
    if found is not None:
        columns.append((f"AUC, {CLEAN}", list(found.auc), found.mean_auc, 3))
    names = record.evaluation.class_names
    rows = [
        (names[c], [_said(values[c], digits) for _, values, _, digits in columns]) for c in reversed(record.by_rarity)
    ]
    means = ("mean over classes", [_said(mean, digits) for _, _, mean, digits in columns])
    return Figures(
        headings=[heading for heading, *_ in columns],
        rows=[*rows, means],
        reliability=None if found is None else _drawn(found),
        scaled="" if record.calibration is None else _scaled(record.calibration),
    )


def _scaled(found: Calibration) -> str:
    return (
        f"Logits divided by {found.temperature:.3g}, the temperature that {counted(found.images, 'held-out image')} "
        f"give, make it {100 * found.test_after.calibration_error:.1f} %; predictions and exported models use it."
    )


_Columns = list[tuple[str, Sequence[float | None], float | None, int]]
"""Heading, a value for each class, their mean, decimals."""


def _of_result(name: str, result: Result) -> _Columns:
    precision, f1 = result.precision or (), result.f1 or ()
    return [(f"precision, {name}", precision, result.macro_precision, 3), (f"F1, {name}", f1, result.macro_f1, 3)]


def _said(value: float | None, digits: int) -> str:
    return _UNKNOWN if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _drawn(found: Probabilities) -> Reliability:
    width = SIDE / len(found.bins)
    columns = []
    for place, each in enumerate(found.bins):
        if each.images:
            share = each.right / each.images
            sure = f"{counted(each.images, 'image')} of {100 * each.confidence:.0f} % confidence"
            text = f"{sure}: {100 * share:.0f} % are right"
            columns.append(
                Column(left=place * width, width=width, right=SIDE * share, said=SIDE * each.confidence, text=text)
            )
    return Reliability(columns=columns, error=f"{100 * found.calibration_error:.1f}")

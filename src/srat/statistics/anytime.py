"""Intervals that hold whenever one stops, also where what has been seen so far decides that."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from srat.core.checked import checked
from srat.core.errors import require
from srat.core.words import number
from srat.statistics.intervals import Accuracy
from srat.statistics.searching import border
from srat.statistics.worst import Worst, least_of

WEIGHT = 30.0
"""What is guessed beforehand counts as so many images. The interval is narrowest, for what it is, after eight times as
many; more would make those of single classes wider, fewer those of all images."""
_EDGE = 1e-12
"""The least accuracy, and error, that is looked at."""
_Numbers = Float[NDArray[np.float64], " classes"]


@checked
def anytime_interval(correct: float, total: float, alpha: float = 0.05) -> Accuracy:
    """Return an accuracy with an interval that holds at all numbers of images at once: all p with M(p) < 1/α.

    M(p) = B(a + x, b + n − x) / B(a, b) / p^x (1 − p)^(n − x), a = g p + ½, b = g (1 − p) + ½, g = 30: what other
    accuracies q, drawn from a beta distribution around p, make of the answers, beside p itself. If p is true, M is a
    martingale that begins with 1, and exceeds 1/α ever with at most α (Ville).

    It holds for images of several classes, too, as many of each, wherever one stops between whole rounds of them: by
    the concavity of the logarithm, a round's Π_c (q p_c / p + (1 − q) (1 − p_c) / (1 − p)) is at most 1, p the mean of
    the p_c.

    Args:
        correct: x, successes, 0 ≤ x ≤ n.
        total: n; without any trial nothing is known: NaN in [0, 1].
        alpha: how often it may ever miss.

    Raises:
        UserError: if more are correct than there are, or alpha is not between 0 and 1.

    Source: Robbins, 1970; Howard, Ramdas, McAuliffe and Sekhon, 2021, Proposition 7 (beta-binomial mixture; here with ½
        more on either side, which keeps it sharp near 0 and 1).
    """
    require(total >= 0, f"total: expected 0 or more, got {number(total, 0)}")
    require(0 <= correct <= total, f"correct: expected 0 to {number(total, correct)}, got {number(correct, 0, total)}")
    require(0 < alpha < 1, f"alpha: expected more than 0 and less than 1, got {number(alpha, 0, 1)}")
    if total == 0:
        return Accuracy(math.nan, 0.0, 1.0)
    found, limit = correct / total, -math.log(alpha)

    def too_far(p: float) -> bool:
        return log_mixture(correct, total, p) >= limit

    middle = min(max(found, _EDGE), 1 - _EDGE)
    low, high = border(middle, _EDGE, too_far), border(middle, 1 - _EDGE, too_far)
    return Accuracy(found, 0.0 if low <= _EDGE else min(found, low), 1.0 if high >= 1 - _EDGE else max(found, high))


def log_mixture(correct: float, total: float, p: float) -> float:
    """Return ln M(p), see `anytime_interval`.

    Args:
        correct: x, successes.
        total: n.
        p: the accuracy that is looked at, in (0, 1).
    """
    from scipy.special import betaln

    a, b, wrong = WEIGHT * p + 0.5, WEIGHT * (1 - p) + 0.5, total - correct
    mixed = float(betaln(a + correct, b + wrong) - betaln(a, b))
    return mixed - correct * math.log(p) - wrong * math.log1p(-p)


@checked
def anytime_worst(correct: Sequence[int], totals: Sequence[int]) -> Worst:
    """Return the lowest of several accuracies with an interval for the lowest true one that holds whenever one stops.

    From the least of the classes' lower bounds, each of which may miss with 0.025, to the least of their upper ones,
    each with 0.025 / k, k the number of classes; see `worst_of` for why the lower ones need no correction.

    Args:
        correct: (classes,), images that are right.
        totals: (classes,), of how many; classes without an image do not count.

    Raises:
        UserError: if there are not as many of both, or more are right than there are.
    """
    return least_of(correct, totals, _lower, _upper, narrowing=False)


def _lower(correct: _Numbers, totals: _Numbers, alpha: float) -> _Numbers:
    return np.array([anytime_interval(*one, alpha).low for one in zip(correct.tolist(), totals.tolist(), strict=True)])


def _upper(correct: _Numbers, totals: _Numbers, alpha: float) -> _Numbers:
    return np.array([anytime_interval(*one, alpha).high for one in zip(correct.tolist(), totals.tolist(), strict=True)])

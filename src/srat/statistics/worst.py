"""The lowest of several accuracies, which is chosen by chance as well as by truth."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from srat.core.checked import checked
from srat.statistics.intervals import Accuracy, check_correct

SIDE = 0.025
"""How often either end of the interval of the lowest accuracy may be missed."""
_Numbers = Float[NDArray[np.float64], " classes"]
Bounds = Callable[[_Numbers, _Numbers, float], _Numbers]
"""Right ones and all of each class, and how often a bound may miss → a bound for each."""


class Worst(NamedTuple):
    """The class with the lowest accuracy of several, and which others may be the truly worst."""

    number: int
    """Which class has the lowest accuracy here, the first of several; 0 without any image."""
    accuracy: Accuracy
    """Its accuracy here, which tends to be too low, with the 95 % interval of the lowest true accuracy of all."""
    others: tuple[int, ...]
    """Those that cannot be told from it, from the lowest accuracy on: in 95 % of all cases the worst is among them."""


@checked
def worst_of(correct: Sequence[int], totals: Sequence[int]) -> Worst:
    """Return the lowest of several accuracies with an interval for the lowest true one, m = min p_c.

    With one-sided exact bounds l_c(α) and u_c(α) the interval is min_c l_c(a) to min_c u_c(a (1 − a) / k), a = 0.025,
    k the number of classes with l_c(a) ≤ the upper end; the largest end that agrees with its own k. Those k classes
    cannot be told from the worst one.

    The lower end needs no correction: min l_c > m only if the worst class's own bound misses. The upper end misses if
    any u_c < m. Classes with l_c > m cannot; the others number N, and of independent classes each misses with at most
    a (1 − a) E[1 / N] · P(l_c ≤ m) / (1 − a), as the ratio of two binomial distribution functions rises with the
    count; Σ_c P(l_c ≤ m) E[1 / N] ≤ 1.

    Args:
        correct: (classes,), images that are right.
        totals: (classes,), of how many; classes without an image do not count.

    Raises:
        UserError: if there are not as many of both, or more are right than there are.

    Source: Berger, 1982 (intersection-union tests), for the lower end; Zhao, Small and Su, 2019, Section 3
        (conditioning, which drops hypotheses that are far from false), for k; Clopper and Pearson, 1934, for the
        bounds.
    """
    return least_of(correct, totals, lower_bounds, upper_bounds)


def least_of(
    correct: Sequence[int],
    totals: Sequence[int],
    lower: Bounds,
    upper: Bounds,
    *,
    narrowing: bool = True,
) -> Worst:
    """Return the lowest of several accuracies with the interval that follows from bounds of each.

    Args:
        correct: (classes,), images that are right.
        totals: (classes,), of how many.
        lower: makes of both and how often a bound may miss a lower bound for each class.
        upper: makes upper ones.
        narrowing: whether the upper ones are corrected for the classes that may be the worst alone; else for all.
    """
    check_correct(correct, totals)
    there = np.flatnonzero(np.array(totals))
    if not len(there):
        return Worst(0, Accuracy(math.nan, 0.0, 1.0), ())
    right, all_ = (np.array(counts, dtype=np.float64)[there] for counts in (correct, totals))
    accuracies, lows = right / all_, lower(right, all_, SIDE)
    order = np.argsort(accuracies, kind="stable")
    candidates, before = len(there), len(there) + 1
    high = 1.0
    while candidates < before:
        high = float(upper(right, all_, SIDE * (1 - SIDE) / candidates).min())
        before, candidates = candidates, int((lows <= high).sum()) if narrowing else candidates
    others = tuple(int(there[c]) for c in order[1:] if lows[c] <= high)
    first = int(order[0])
    return Worst(int(there[first]), Accuracy(float(accuracies[first]), float(lows.min()), high), others)


def lower_bounds(correct: _Numbers, totals: _Numbers, alpha: float) -> _Numbers:
    """Return Clopper and Pearson's lower bounds: of each class the p with Pr[X ≥ x] = α, 0 where none is right."""
    from scipy.special import betaincinv

    bounds: _Numbers = betaincinv(np.maximum(correct, 1), totals - correct + 1, alpha)
    return np.where(correct == 0, 0.0, bounds)


def upper_bounds(correct: _Numbers, totals: _Numbers, alpha: float) -> _Numbers:
    """Return Clopper and Pearson's upper bounds: of each class the p with Pr[X ≤ x] = α, 1 where all are right."""
    return 1 - lower_bounds(totals - correct, totals, alpha)

"""Intervals for accuracies."""

import math
from typing import NamedTuple

Z95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""


class Accuracy(NamedTuple):
    """An accuracy and its 95 % interval, all in [0, 1]."""

    accuracy: float
    low: float
    high: float


def wilson(correct: int, total: int, z: float = Z95) -> Accuracy:
    """Return an accuracy with its Wilson score interval, (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n).

    Args:
        correct: successes, 0 ≤ correct ≤ total.
        total: n; without any trial nothing is known: NaN in [0, 1].
        z: quantile of the standard normal; 1.96 for 95 %.

    Source: Wilson, 1927.
    """
    if total == 0:
        return Accuracy(math.nan, 0.0, 1.0)
    p = correct / total
    center = p + z * z / (2 * total)
    spread = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # Rounding must not push the bounds past the accuracy or out of [0, 1].
    return Accuracy(p, max(0.0, min(p, (center - spread) / scale)), min(1.0, max(p, (center + spread) / scale)))

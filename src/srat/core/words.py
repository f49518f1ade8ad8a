"""Words for people."""

import math
from collections.abc import Sequence

NAMED = 3
"""Things of a kind, at the most, that a line names."""
_FEWEST, _MOST = 6, 17
"""Digits of a number: those that it is shown with, and those that tell any two apart."""


def number(value: float, *bounds: float) -> str:
    """Return a number in six digits, or in as many more as show on which side of each bound it lies.

    Args:
        value: the number.
        bounds: those of the range that it is compared with.
    """
    there = _sides(value, bounds)
    texts = (f"{value:.{digits}g}" for digits in range(_FEWEST, _MOST))
    return next((text for text in texts if _sides(float(text), bounds) == there), f"{value:.{_MOST}g}")


def _sides(value: float, bounds: Sequence[float]) -> list[int]:
    """Return on which side of each bound a number lies: 1 above, −1 below, 0 on it."""
    return [(value > bound) - (value < bound) for bound in bounds]


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number with what is counted: "1 image", "1,200 images".

    Args:
        count: the number.
        one: the words after 1.
        several: the words after any other number; those after 1 with an s unless given.
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def percent(part: float, whole: float = 1.0) -> str:
    """Return a share in per cent, "61.2 %"; a dash where it is not a number."""
    return f"{100 * part / whole:.1f} %" if whole and not math.isnan(part) else "–"


def percent_interval(value: float, low: float, high: float) -> str:
    """Return a share and its interval in per cent, "45.8 [44.8, 46.8]"; a dash where it is not a number.

    Args:
        value: the share.
        low: the lower end of the interval.
        high: the upper end.
    """
    return "–" if math.isnan(value) else f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def few(names: Sequence[str]) -> str:
    """Return the first names of several, with an ellipsis for the others: "a, b, c, …"."""
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")

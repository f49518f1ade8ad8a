"""Words for people."""

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


def few(names: Sequence[str]) -> str:
    """Return the first names of several, with an ellipsis for the others: "a, b, c, …"."""
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")

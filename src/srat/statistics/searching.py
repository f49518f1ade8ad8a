"""Where a condition begins to hold."""

from collections.abc import Callable

LEAST_P = 1e-30
"""The least probability that is told from 0."""
_HALVINGS = 60
"""Of an interval in which a root is looked for: beyond, floating point sees no difference."""


def border(inside: float, outside: float, too_far: Callable[[float], bool]) -> float:
    """Return where, on the way from one point to another, it becomes too far; the other if it never does.

    Args:
        inside: where it begins.
        outside: where it ends.
        too_far: false up to some point, and true from there on.
    """
    if not too_far(outside):
        return outside
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if too_far(middle) else (middle, outside)
    return inside

"""The learning rate falls along half a cosine."""

import math
from dataclasses import dataclass

from typing_extensions import override

from srat.core.errors import require_field
from srat.optimization.schedules.base import Schedule


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule, name="cosine"):
    """The learning rate falls along half a cosine (Loshchilov and Hutter, 2017), from γ to last · γ.

    At the time t of a run of E epochs it is γ · (last + (1 − last) · (1 + cos(π t / E)) / 2).
    """

    last: float = 0.0
    """What γ is multiplied by at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_field(0 <= self.last <= 1, "schedule.last", "0 to 1", self.last, 0, 1)

    @override
    def share(self, time: float, *, epochs: int) -> float:
        """Return last + (1 − last) · (1 + cos(π t / E)) / 2."""
        return half_cosine(1.0, self.last, time / epochs)

    @override
    def described(self, epochs: int) -> str:
        del epochs
        return f"half a cosine down to × {self.last:g}"


def half_cosine(first: float, last: float, part: float) -> float:
    """Return the way from ``first`` to ``last`` along half a cosine.

    Args:
        first: where it begins.
        last: where it ends.
        part: of the way, in [0, 1].
    """
    return last + (first - last) * (1 + math.cos(math.pi * part)) / 2

"""The exponential moving average of the weights."""

from dataclasses import dataclass

from typing_extensions import override

from srat.core.errors import require_field
from srat.optimization.averaging.base import Estimated, check_start


@dataclass(frozen=True, kw_only=True)
class EMA(Estimated, name="ema"):
    """Exponential moving average a of the weights w: a ← d a + (1 − d) w after each step t.

    d is min(decay, (1 + t) / (10 + t)), and 0 before the start, as Gowal et al., 2020, train.
    """

    decay: float = 0.999
    """d, once the run has lasted long enough (Gowal et al.: 0.995 with batches of 1,024)."""
    start: float = 0.025
    """Part of the run during which the average is the weights themselves."""

    def __post_init__(self) -> None:
        require_field(0 <= self.decay < 1, "averaging.decay", "0 ≤ decay < 1", self.decay, 0, 1)
        check_start(self.start)

    @override
    def share(self, step: int, *, steps: int, epochs: int) -> float:
        if step < self.start * steps * epochs:
            return 1.0
        return 1 - min(self.decay, (1 + step) / (10 + step))

"""Fairness-aware weight averaging."""

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from srat.core.errors import require_field
from srat.optimization.averaging.base import Estimated


@dataclass(frozen=True, kw_only=True)
class FAWA(Estimated, name="fawa"):
    """Fairness-aware weight averaging (Wei et al., 2023, CFA): a ← d a + (1 − d) w at the end of an epoch.

    The average leaves out the weights of an epoch whose worst class is right under attack in less than ``least`` of
    its held-out images. Until the first epoch that counts it is the weights themselves.
    """

    sees_held_out: ClassVar[bool] = True

    decay: float = 0.88
    """d."""
    least: float = 0.24
    """Accuracy that the worst class needs (the authors' code; their text: 0.2)."""

    def __post_init__(self) -> None:
        require_field(0 <= self.decay < 1, "averaging.decay", "0 ≤ decay < 1", self.decay, 0, 1)
        require_field(0 <= self.least <= 1, "averaging.least", "an accuracy, 0 to 1", self.least, 0, 1)

    @override
    def share(self, step: int, *, steps: int, epochs: int) -> float:
        """Return 0: it moves at the end of an epoch alone."""
        del step, steps, epochs
        return 0.0

    @override
    def share_of_epoch(self, worst: float, *, begun: bool) -> tuple[float, bool]:
        counts = worst >= self.least
        share = 1.0 if not begun else 1 - self.decay if counts else 0.0
        return share, begun or counts

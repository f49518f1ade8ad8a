"""What robust losses with a divergence from the clean image have in common."""

from dataclasses import dataclass, field
from typing import ClassVar

from srat.core.members import since
from srat.losses.base import Logits
from srat.robust_losses.base import References, RobustLoss
from srat.robust_losses.divergence import check_beta


@dataclass(frozen=True, kw_only=True)
class DivergingLoss(RobustLoss):
    """A robust loss with β · KL(p(x) ‖ p(x')), or something like it."""

    beta: float = 6.0
    """β, the weight of the divergence."""
    detach_clean: bool = field(default=False, metadata=since(False))
    """Take the divergence's gradient through p(x') alone; through p(x) too otherwise, as the authors do."""

    sees_clean: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_beta(self.beta)

    def compared(self, references: References) -> Logits:
        """Return the logits of the clean images that the divergence is from."""
        clean = references.of_clean()
        return clean.detach() if self.detach_clean else clean

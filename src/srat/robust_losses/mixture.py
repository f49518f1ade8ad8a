"""A mixture of clean and adversarial images."""

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from srat.core.errors import require_field
from srat.losses.base import Logits, PerExample
from srat.robust_losses.base import References, RobustLoss


@dataclass(frozen=True, kw_only=True)
class Mixture(RobustLoss, name="mixture"):
    """Clean and adversarial image together (Goodfellow et al., 2015): (1 − a) · ℓ(z(x), y) + a · ℓ(z(x'), y)."""

    share: float = 0.5
    """a, the adversarial image's part: 0 is natural training, 1 is `standard`."""

    sees_clean: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_field(0 <= self.share <= 1, "robust_loss.share", "0 to 1", self.share, 0, 1)

    @override
    def outer(self, logits: Logits, references: References) -> PerExample:
        clean = references.prediction(references.of_clean())
        return (1 - self.share) * clean + self.share * references.prediction(logits)

"""Standard adversarial training."""

from dataclasses import dataclass

from typing_extensions import override

from srat.losses.base import Logits, PerExample
from srat.robust_losses.base import References, RobustLoss


@dataclass(frozen=True, kw_only=True)
class Standard(RobustLoss, name="standard"):
    """The prediction loss of the adversarial image (Madry et al., 2018; Eq. 5): logits against the label."""

    @override
    def outer(self, logits: Logits, references: References) -> PerExample:
        return references.prediction(logits)

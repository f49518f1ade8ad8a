"""The adversarial image's loss, and how far its prediction is from the clean one's."""

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from srat.losses.base import Logits, PerExample
from srat.robust_losses.base import References, RobustLoss
from srat.robust_losses.divergence import check_beta, kl_divergence


@dataclass(frozen=True, kw_only=True)
class Consistency(RobustLoss, name="consistency"):
    """The attacked image is learnt, and pulled to the clean one (Wu et al., 2021): ℓ(z(x'), y) + β · KL(p(x) ‖ p(x')).

    TRADES has ℓ(z(x), y) in its place, and attacks the divergence; here the attack is on the prediction loss.
    """

    beta: float = 6.0
    """β, the weight of the divergence; its gradient goes through p(x) and p(x')."""

    sees_clean: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_beta(self.beta)

    @override
    def outer(self, logits: Logits, references: References) -> PerExample:
        return references.prediction(logits) + self.beta * kl_divergence(references.of_clean(), logits)

"""The adversarial image's loss, and how far its prediction is from the clean one's."""

from dataclasses import dataclass

from typing_extensions import override

from srat.losses.base import Logits, PerExample
from srat.robust_losses.base import References
from srat.robust_losses.divergence import kl_divergence
from srat.robust_losses.diverging import DivergingLoss


@dataclass(frozen=True, kw_only=True)
class Consistency(DivergingLoss, name="consistency"):
    """The attacked image is learnt, and pulled to the clean one (Wu et al., 2021): ℓ(z(x'), y) + β · KL(p(x) ‖ p(x')).

    TRADES has ℓ(z(x), y) in its place, and attacks the divergence; here the attack is on the prediction loss.
    """

    @override
    def outer(self, logits: Logits, references: References) -> PerExample:
        return references.prediction(logits) + self.beta * kl_divergence(self.compared(references), logits)

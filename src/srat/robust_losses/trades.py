"""TRADES."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from typing_extensions import override

from srat.core.members import since
from srat.losses.base import Logits, PerExample
from srat.robust_losses.base import References
from srat.robust_losses.divergence import kl_divergence
from srat.robust_losses.diverging import DivergingLoss


@dataclass(frozen=True, kw_only=True)
class TRADES(DivergingLoss, name="trades"):
    """TRADES (Zhang et al., 2019): ℓ(z(x), y) + β · KL(p(x) ‖ p(x')), ℓ the prediction loss.

    The attack makes the same divergence large. It is flat where x' = x, so that the attack has to begin beside the
    image.
    """

    detach_clean: bool = False
    """Take the divergence's gradient through p(x') alone; through p(x) too otherwise, as the authors do."""
    # Without `since`, unlike the others': it is a part of the identity that recorded runs of TRADES have.
    weighted: Literal["all", "prediction"] = field(default="all", metadata=since("all"))
    """What class weights multiply: both terms, or the prediction loss alone, as DAFA has it."""

    attack_sees_clean: ClassVar[bool] = True
    needs_start: ClassVar[bool] = True

    @override
    def inner(self, logits: Logits, references: References) -> PerExample:
        return kl_divergence(references.of_clean(), logits)

    @override
    def outer(self, logits: Logits, references: References) -> PerExample:
        divergence = self.beta * kl_divergence(self.compared(references), logits)
        if self.weighted == "prediction":  # the objective multiplies both
            divergence = divergence / references.of_weights()
        return references.prediction(references.of_clean()) + divergence

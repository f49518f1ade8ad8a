"""TRADES."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from typing_extensions import override

from srat.core.members import since
from srat.losses.base import Logits, PerExample
from srat.robust_losses.base import References, RobustLoss
from srat.robust_losses.divergence import check_beta, kl_divergence


@dataclass(frozen=True, kw_only=True)
class TRADES(RobustLoss, name="trades"):
    """TRADES (Zhang et al., 2019): ℓ(z(x), y) + β · KL(p(x) ‖ p(x')), ℓ the prediction loss.

    The attack makes the same divergence large. It is flat where x' = x, so that the attack has to begin beside the
    image.
    """

    beta: float = 6.0
    """β, the weight of the divergence."""
    detach_clean: bool = False
    """Take the divergence's gradient through p(x') alone; through p(x) too otherwise, as the authors do."""
    weighted: Literal["all", "prediction"] = field(default="all", metadata=since("all"))
    """What class weights multiply: both terms, or the prediction loss alone, as DAFA has it."""

    sees_clean: ClassVar[bool] = True
    attack_sees_clean: ClassVar[bool] = True
    needs_start: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_beta(self.beta)

    @override
    def inner(self, logits: Logits, references: References) -> PerExample:
        return kl_divergence(references.of_clean(), logits)

    @override
    def outer(self, logits: Logits, references: References) -> PerExample:
        clean = references.of_clean()
        compared = clean.detach() if self.detach_clean else clean
        divergence = self.beta * kl_divergence(compared, logits)
        if self.weighted == "prediction":  # the objective multiplies both
            divergence = divergence / references.of_weights()
        return references.prediction(clean) + divergence

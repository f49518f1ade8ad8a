"""TRADES with a β for each class, by how robust the class is in training."""

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from srat.attacks.budgets.cfa_budget import RobustAccuracy
from srat.core.errors import require_field
from srat.feedback import Feedback, check_start
from srat.losses.base import Logits, PerExample
from srat.robust_losses.base import References, RobustLoss
from srat.robust_losses.divergence import check_beta, kl_divergence


@dataclass(frozen=True, kw_only=True)
class CalibratedTRADES(RobustLoss, name="trades-calibrated"):
    """TRADES as CFA has it (Wei et al., 2023): (1 − b) · ℓ(z(x), y) + b · KL(p(x) ‖ p(x')), b = β_y / (1 + β_y).

    β_y = (λ₂ + A_y) · β, A_y the class's accuracy under attack in the last epoch of training: the more robust a class
    is, the more its divergence counts.
    """

    beta: float = 6.0
    """β, which the β of a class is a multiple of."""
    offset: float = 0.5
    """λ₂, that multiple for a class that is never right."""
    start: float = 0.05
    """Part of the run with β for every class (the authors: 10 of 200 epochs)."""

    sees_clean: ClassVar[bool] = True
    attack_sees_clean: ClassVar[bool] = True
    needs_start: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_beta(self.beta)
        require_field(0 <= self.offset < float("inf"), "robust_loss.offset", "0 or more", self.offset, 0)
        check_start(self.start, "robust_loss.start")

    @override
    def feedback(self, *, classes: int) -> Feedback:
        return RobustAccuracy(classes, offset=self.offset, start=self.start)

    @override
    def inner(self, logits: Logits, references: References) -> PerExample:
        return kl_divergence(references.of_clean(), logits)

    @override
    def outer(self, logits: Logits, references: References) -> PerExample:
        clean, beta = references.of_clean(), self.beta * references.of_factors()
        return (references.prediction(clean) + beta * kl_divergence(clean, logits)) / (1 + beta)

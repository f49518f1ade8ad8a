"""TRADES with a β for each class, by how robust the class is in training."""

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from srat.attacks.budgets.cfa_budget import RobustAccuracy
from srat.core.errors import require_amount
from srat.feedback import Feedback, check_start
from srat.losses.base import Logits, PerExample
from srat.robust_losses.base import References
from srat.robust_losses.divergence import kl_divergence
from srat.robust_losses.diverging import DivergingLoss


@dataclass(frozen=True, kw_only=True)
class CalibratedTRADES(DivergingLoss, name="trades-calibrated"):
    """TRADES as CFA has it (Wei et al., 2023): (1 − b) · ℓ(z(x), y) + b · KL(p(x) ‖ p(x')), b = β_y / (1 + β_y).

    β_y = (λ₂ + A_y) · β, A_y the class's accuracy under attack in the last epoch of training: the more robust a class
    is, the more its divergence counts.
    """

    offset: float = 0.5
    """λ₂, that multiple for a class that is never right."""
    start: float = 0.05
    """Part of the run with β for every class (the authors: 10 of 200 epochs)."""

    attack_sees_clean: ClassVar[bool] = True
    needs_start: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_amount(self.offset, "robust_loss.offset")
        check_start(self.start, "robust_loss.start")

    @override
    def feedback(self, *, classes: int) -> Feedback:
        return RobustAccuracy(classes, offset=self.offset, start=self.start)

    @override
    def inner(self, logits: Logits, references: References) -> PerExample:
        return kl_divergence(references.of_clean(), logits)

    @override
    def outer(self, logits: Logits, references: References) -> PerExample:
        beta, prediction = self.beta * references.of_factors(), references.prediction(references.of_clean())
        return (prediction + beta * kl_divergence(self.compared(references), logits)) / (1 + beta)

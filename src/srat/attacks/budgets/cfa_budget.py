"""A larger budget for classes that are robust in training."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from srat.attacks.budgets.base import Budget
from srat.core.checked import checked
from srat.core.errors import require_amount, require_field
from srat.feedback import Feedback, HeldOut, check_start, first_epoch
from srat.feedback.base import Labels, Logits


@checked
def calibrated(
    correct: Int[Tensor, " classes"], total: Int[Tensor, " classes"], offset: float = 0.5
) -> Float[Tensor, " classes"]:
    """Return ε_c / ε₀ = λ + A_c, with A_c = correct_c / total_c; 1 for a class without an example.

    The accuracy of a class is divided by its own count. CFA's code divides by that of a balanced set, N / C, which
    on Exp-100 makes 1.61 to 0.016 of a 40 % that is the same for all.

    Args:
        correct: (classes,), training examples of each class that were right under attack.
        total: (classes,), all of them.
        offset: λ, 0 or more.

    Returns:
        (classes,), multiples of ε₀, from λ to λ + 1.

    Source: Wei et al., 2023 (CFA), customised class perturbation margin.
    """
    require_field(offset >= 0, "offset", "0 or more", offset, 0)
    return torch.where(total > 0, offset + correct.double() / total.clamp(min=1), 1.0).float()


class RobustAccuracy(Feedback):
    """The multiples of `calibrated`, of the accuracies in the last epoch.

    Args:
        classes: how many there are.
        offset: λ.
        start: part of the run before they apply.
    """

    correct: Int[Tensor, " classes"]
    """Examples of this epoch that were right under attack."""
    total: Int[Tensor, " classes"]
    """All of them."""

    def __init__(self, classes: int, *, offset: float, start: float) -> None:
        super().__init__(classes)
        self.offset, self.start = offset, start
        for name in ("correct", "total"):
            self.register_buffer(name, torch.zeros(classes, dtype=torch.long))

    @override
    def observe(self, labels: Labels, logits: Logits) -> None:
        self.total.index_add_(0, labels, torch.ones_like(labels))
        self.correct.index_add_(0, labels, (logits.argmax(dim=1) == labels).long())

    @override
    def close(self, epoch: int, *, epochs: int, held_out: HeldOut | None) -> None:
        del held_out
        if epoch + 1 >= first_epoch(self.start, epochs):
            self.factors.copy_(calibrated(self.correct, self.total, self.offset))
        self.correct.zero_()
        self.total.zero_()


@dataclass(frozen=True, kw_only=True)
class CFA(Budget, name="cfa"):
    """Class-wise calibrated ε (Wei et al., 2023): the better a class was under attack in the last epoch, the larger.

    The step size goes with ε; the authors leave it as it is.
    """

    offset: float = 0.5
    """λ₁, what ε of a class that is never right is multiplied by."""
    start: float = 0.05
    """Part of the run with the attack's own ε (the authors: 10 of 200 epochs)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_amount(self.offset, "budget.offset")
        check_start(self.start, "budget.start")

    @override
    def feedback(self, *, classes: int) -> Feedback:
        return RobustAccuracy(classes, offset=self.offset, start=self.start)

"""A larger budget for classes whose held-out images are right, but not under attack."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from srat.attacks.budgets.base import Budget
from srat.core.checked import checked
from srat.core.errors import require_amount, require_field
from srat.feedback import Feedback, HeldOut, check_start, first_epoch

PerClass = Float[Tensor, " classes"]


@checked
def remargin(
    margins: PerClass, clean: PerClass, robust: PerClass, total: PerClass, rate: float = 0.2, tolerance: float = 0.07
) -> PerClass:
    """Return λ_c + r · (b_c − b̄ − δ), b_c the share of a class's images that only the attack gets wrong.

    b̄ is the mean over the classes that have an image; the λ of the others stays.

    Args:
        margins: λ, (classes,).
        clean: (classes,), held-out images of each class that are right as they are.
        robust: (classes,), those that are right under attack.
        total: (classes,), all of them.
        rate: r.
        tolerance: δ, by how much b_c may be above the mean.

    Source: Xu et al., 2021 (FRL), remargin.
    """
    there = total > 0
    boundary = (clean - robust) / total.clamp(min=1)
    mean = (boundary * there).sum() / there.sum().clamp(min=1)
    return torch.where(there, margins + rate * (boundary - mean - tolerance), margins)


class BoundaryErrors(Feedback):
    """The multiples exp(2λ), with the λ of `remargin`.

    Args:
        classes: how many there are.
        budget: its settings.
    """

    margins: PerClass

    def __init__(self, classes: int, budget: "FRL") -> None:
        super().__init__(classes)
        self.budget = budget
        self.register_buffer("margins", torch.zeros(classes, dtype=torch.float64))

    @override
    def close(self, epoch: int, *, epochs: int, held_out: HeldOut | None) -> None:
        budget = self.budget
        if held_out is None or epoch + 1 < first_epoch(budget.start, epochs):
            return
        total, clean, robust = held_out
        self.margins.copy_(remargin(self.margins, clean, robust, total, budget.rate, budget.tolerance))
        self.factors.copy_((2 * self.margins).exp().clamp(budget.least, budget.most))


@dataclass(frozen=True, kw_only=True)
class FRL(Budget, name="frl"):
    """Remargin of FRL (Xu et al., 2021): ε moves with what the attack alone gets wrong of a class's held-out images.

    It is for a model that is robust already: until its start the run trains one. The step size goes with ε.
    """

    sees_held_out: ClassVar[bool] = True

    rate: float = 0.2
    """r, how fast λ moves."""
    tolerance: float = 0.07
    """δ, by how much a class's boundary error may be above the mean."""
    start: float = 0.5
    """Part of the run before ε moves (the authors begin with a robust model)."""
    least: float = 0.98
    """The least multiple of ε."""
    most: float = 3.0
    """The largest multiple of ε."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_amount(self.rate, "budget.rate")
        require_field(0 <= self.tolerance <= 1, "budget.tolerance", "0 to 1", self.tolerance, 0, 1)
        check_start(self.start, "budget.start")
        require_field(0 < self.least <= 1, "budget.least", "above 0 and at most 1", self.least, 0, 1)
        require_field(1 <= self.most < float("inf"), "budget.most", "1 or more", self.most, 1)

    @override
    def feedback(self, *, classes: int) -> Feedback:
        return BoundaryErrors(classes, self)

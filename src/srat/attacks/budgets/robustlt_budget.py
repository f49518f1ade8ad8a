"""A larger budget for rarer classes, the same as before for the average image."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from srat.attacks.budgets.base import Budget
from srat.attacks.budgets.class_wise_budget import rarity
from srat.core.checked import checked
from srat.core.errors import require, require_field
from srat.core.words import number
from srat.data.counts import ClassCounts


@checked
def robustlt(class_counts: ClassCounts, share: float = 0.3) -> Float[Tensor, " classes"]:
    """Return ε_c / ε₀ = (1 − a) + a · r_c / Σ_k π_k r_k, r_c = √ln(n_max / n_c).

    The mean over the images is 1, that over the classes above it. Few images of rare classes can take up very much:
    on Step-100 each has 31 times ε₀ at a = 0.3. Where all classes are of one size, all have 1.

    Args:
        class_counts: n, (classes,), training examples of each class, at least 1; π is their share.
        share: a in [0, 1].

    Returns:
        (classes,), multiples of ε₀.

    Raises:
        UserError: if a class has no example, or a is out of range.

    Source: RobustLT (CVPR 2026), class-wise perturbation budgets.
    """
    check_share(share, "share")
    rare = rarity(class_counts)
    if not rare.any():
        return torch.ones(len(rare))
    counts = torch.as_tensor(class_counts).double()
    mean = (counts * rare).sum() / counts.sum()
    return (1 - share + share * rare / mean).float()


def check_share(share: float, where: str) -> None:
    """Raise ``UserError`` unless a is one; ``where`` says whose."""
    require_field(0 <= share <= 1, where, "0 to 1", share, 0, 1)


@dataclass(frozen=True, kw_only=True)
class RobustLT(Budget, name="robustlt"):
    """RobustLT's budgets: a larger ε for rarer classes, with the attack's own as the mean over the images."""

    share: float = 0.3
    """a, the part of ε that is spread by rarity."""
    most: float = 2.0
    """A run in which a class would have more than so many times ε is refused."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.share, "budget.share")
        require_field(1 <= self.most < float("inf"), "budget.most", "1 or more", self.most, 1)

    @override
    def scales(self, class_counts: ClassCounts, epoch: int, *, epochs: int) -> Float[Tensor, " classes"] | None:
        del epoch, epochs
        scales = robustlt(class_counts, self.share)
        largest, where = scales.max(dim=0)
        most, got = f"at most {self.most:g} times ε", f"{number(float(largest), self.most)} times in class {where}"
        advice = "`budget` class-wise has ends; `budget.most` allows more"
        require(bool(largest <= self.most), f"`budget` robustlt: expected {most} for every class, got {got}; {advice}")
        return scales

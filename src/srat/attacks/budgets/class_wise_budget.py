"""A larger budget for rarer classes, between two ends."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from srat.attacks.budgets.base import Budget
from srat.core.checked import checked
from srat.core.errors import require_amount, require_field
from srat.data.counts import ClassCounts, check_counts


def rarity(class_counts: ClassCounts) -> Float[Tensor, " classes"]:
    """Return r_c = √ln(n_max / n_c) of each class in float64: 0 for the largest.

    Args:
        class_counts: n, (classes,), training examples of each class, at least 1.
    """
    check_counts(class_counts)
    counts = torch.as_tensor(class_counts).double()
    return (counts.max() / counts).log().sqrt()


@checked
def class_wise(
    class_counts: ClassCounts, head: float = 0.7, tail: float = 1.6, cap: float = 2.0
) -> Float[Tensor, " classes"]:
    """Return ε_c / ε₀ = min(cap, h + (t − h) · r_c / r_max), r_c = √ln(n_max / n_c).

    The ends are the largest class and the smallest, whatever the imbalance: on Exp-50, 0.7 and 1.6 are RobustLT's
    budgets of a = 0.3. Where all classes are of one size, none is a head or a tail: all have 1.

    Args:
        class_counts: n, (classes,), training examples of each class, at least 1.
        head: h, 0 or more, of the largest class.
        tail: t, 0 or more, of the smallest.
        cap: the largest multiple, above 0.

    Returns:
        (classes,), multiples of ε₀.

    Raises:
        UserError: if a class has no example, or a number is out of range.

    Source: after RobustLT (CVPR 2026), whose own form is ``robustlt``.
    """
    check_ends(head, tail, cap, "")
    rare = rarity(class_counts)
    if not rare.any():
        return torch.ones(len(rare))
    return (head + (tail - head) * rare / rare.max()).clamp(max=cap).float()


def check_ends(head: float, tail: float, cap: float, prefix: str) -> None:
    """Raise ``UserError`` unless these are ends and a cap; ``prefix`` says whose."""
    for name, value in (("head", head), ("tail", tail)):
        require_amount(value, f"{prefix}{name}")
    require_field(0 < cap < float("inf"), f"{prefix}cap", "a number above 0", cap, 0)


@dataclass(frozen=True, kw_only=True)
class ClassWise(Budget, name="class-wise"):
    """A larger ε for rarer classes, from one end to the other."""

    head: float = 0.7
    """What ε of the largest class is multiplied by."""
    tail: float = 1.6
    """What ε of the smallest class is multiplied by."""
    cap: float = 2.0
    """The largest multiple of any class."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ends(self.head, self.tail, self.cap, "budget.")

    @override
    def scales(self, class_counts: ClassCounts, epoch: int, *, epochs: int) -> Float[Tensor, " classes"] | None:
        del epoch, epochs
        return class_wise(class_counts, self.head, self.tail, self.cap)

"""One budget for all."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from srat.attacks.budgets.base import Budget
from srat.data.counts import ClassCounts


@dataclass(frozen=True, kw_only=True)
class UniformBudget(Budget, name="uniform"):
    """The attack's own ε for every class, from the first epoch on."""

    @override
    def scales(self, class_counts: ClassCounts, epoch: int, *, epochs: int) -> Float[Tensor, " classes"] | None:
        del class_counts, epoch, epochs
        return None

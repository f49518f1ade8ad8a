"""No weight perturbation."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from torch import nn
from typing_extensions import override

from srat.optimization.weight_perturbations.base import WeightPerturbation


@dataclass(frozen=True, kw_only=True)
class NoPerturbation(WeightPerturbation, name="none"):
    """Take the gradient at the weights as they are."""

    @override
    def applies(self, epoch: int, *, epochs: int) -> bool:
        del epoch, epochs
        return False

    @override
    def perturbed(
        self, module: nn.Module, backward: Callable[[], None], *, epoch: int, epochs: int
    ) -> AbstractContextManager[None]:
        del module, backward, epoch, epochs
        return nullcontext()

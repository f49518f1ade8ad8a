"""What a weight perturbation is: a place beside the weights, at which the step's gradient is taken."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import nn

from srat.core.members import Member


@dataclass(frozen=True, kw_only=True)
class WeightPerturbation(Member):
    """A change of the weights that is made before the gradient is taken, and undone before the step."""

    def applies(self, epoch: int, *, epochs: int) -> bool:
        """Return whether weights are perturbed in an epoch, at the cost of one more pass there and back.

        Args:
            epoch: counted from 0.
            epochs: of the run.
        """
        del epoch, epochs
        return True

    def perturbed(
        self, module: nn.Module, backward: Callable[[], None], *, epoch: int, epochs: int
    ) -> AbstractContextManager[None]:
        """Return a context in which the weights are perturbed; after it they are what they were, to the bit.

        Args:
            module: the model.
            backward: puts the gradient of the step's loss, at the weights as they are, into ``.grad``; under fp16 it is
                scaled, and may not be finite. Who calls it leaves no gradient behind.
            epoch: counted from 0.
            epochs: of the run.
        """
        raise NotImplementedError

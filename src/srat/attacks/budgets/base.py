"""What a budget is: for each class and epoch, what the training attack's ε and step size are multiplied by."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from srat.core.members import Member
from srat.data.counts import ClassCounts


@dataclass(frozen=True, kw_only=True)
class Budget(Member):
    """The size of the training attack's ball; the evaluation's is the same for all, always."""

    def scales(self, class_counts: ClassCounts, epoch: int, *, epochs: int) -> Float[Tensor, " classes"] | None:
        """Return the multiple of ε and of the step size for each class, 0 or more; None for 1 everywhere.

        Args:
            class_counts: (classes,), training examples of each class.
            epoch: counted from 0.
            epochs: of the run.
        """
        raise NotImplementedError

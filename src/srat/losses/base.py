"""What a loss is: one number per example; weights and reduction are the objective's."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from srat.models.heads import Head, LinearHead
from srat.registry import Member

Logits = Float[Tensor, "batch classes"]
Labels = Int[Tensor, " batch"]
PerExample = Float[Tensor, " batch"]
ClassCounts = Sequence[int] | Tensor


@dataclass(frozen=True, kw_only=True)
class Loss(Member):
    """A prediction loss, L(f(x), y) of Eq. 5."""

    @property
    def head(self) -> Head:
        """The head that this loss is made for."""
        return LinearHead()

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return the loss of each example.

        Args:
            logits: (batch, classes), as served.
            labels: (batch,), integers in [0, classes).
            class_counts: (classes,), training examples of each class; a tensor on the logits' device where no
                transfer may happen.
        """
        raise NotImplementedError

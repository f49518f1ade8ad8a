"""What a loss is: one number per example; weights and reduction are the objective's."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from srat.core.errors import require
from srat.core.members import Member
from srat.data.counts import ClassCounts, require_labels
from srat.models.heads import Head, LinearHead

Logits = Float[Tensor, "batch classes"]
Labels = Int[Tensor, " batch"]
PerExample = Float[Tensor, " batch"]


def checked_labels(logits: Logits, labels: Labels) -> Labels:
    """Return labels that go with logits, as int64.

    Which classes they are is looked at on the CPU alone, where that waits for no device.

    Args:
        logits: (batch, classes).
        labels: (batch,), integers in [0, classes).

    Raises:
        UserError: if they are on another device, or of no class.
    """
    classes = logits.shape[1]
    there, here = labels.device.type, logits.device.type
    require(there == here, f"labels: expected them on {here}, as the logits are, got {there}")
    if here == "cpu":
        require_labels(labels, classes)
    return labels.long()


@dataclass(frozen=True, kw_only=True)
class Loss(Member):
    """A prediction loss, L(f(x), y) of Eq. 5."""

    balances: ClassVar[bool] = False
    """Whether it moves the logits by the classes' counts, so that the least of it is that of balanced classes."""

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

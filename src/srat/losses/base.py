"""What a loss is: one number per example; weights and reduction are the objective's."""

from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from srat.core.errors import require, require_field
from srat.core.members import Member, since
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

    sees_batch: ClassVar[bool] = False
    """Whether an example's number depends on the other examples too; their mean is then what the batch costs."""

    @property
    def head(self) -> Head:
        """The head that this loss is made for."""
        return LinearHead()

    @property
    def balances(self) -> bool:
        """Whether the classes' shares are made up for already, so that the least of it is that of balanced classes."""
        return False

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return the loss of each example.

        Args:
            logits: (batch, classes), as served.
            labels: (batch,), integers in [0, classes).
            class_counts: (classes,), training examples of each class; a tensor on the logits' device where no
                transfer may happen.
        """
        raise NotImplementedError


def check_smoothing(smoothing: float, where: str) -> None:
    """Raise ``UserError`` unless s is a part of a label; ``where`` says whose."""
    require_field(0 <= smoothing <= 1, where, "0 to 1", smoothing, 0, 1)


@dataclass(frozen=True, kw_only=True)
class SmoothedLoss(Loss):
    """A prediction loss that is a cross-entropy, whose labels can be smoothed."""

    smoothing: float = field(default=0.0, metadata=since(0.0))
    """s, the part of each label that is spread over all classes alike; 0.1 to 0.2 is usual."""

    def __post_init__(self) -> None:
        check_smoothing(self.smoothing, "loss.smoothing")

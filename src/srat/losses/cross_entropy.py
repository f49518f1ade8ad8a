"""Cross-entropy."""

from dataclasses import dataclass

from torch.nn import functional as F

from srat.gradients import ordinary
from srat.losses.base import ClassCounts, Labels, Logits, Loss, PerExample


def cross_entropy(logits: Logits, labels: Labels) -> PerExample:
    """Return the cross-entropy of each example, −log softmax(z)_y.

    Args:
        logits: z, (batch, classes).
        labels: y, (batch,), integers in [0, classes).

    Returns:
        (batch,), in nats.
    """
    return F.cross_entropy(logits, ordinary(labels), reduction="none")


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Loss, name="cross-entropy"):
    """Cross-entropy."""

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `cross_entropy`."""
        del class_counts
        return cross_entropy(logits, labels)

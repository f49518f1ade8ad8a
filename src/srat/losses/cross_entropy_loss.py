"""Cross-entropy."""

from dataclasses import dataclass

from torch.nn import functional as F

from srat.core.checked import checked
from srat.core.gradients import ordinary
from srat.data.counts import ClassCounts
from srat.losses.base import Labels, Logits, Loss, PerExample, checked_labels


@checked
def cross_entropy(logits: Logits, labels: Labels) -> PerExample:
    """Return the cross-entropy of each example, −log softmax(z)_y.

    Args:
        logits: z, (batch, classes).
        labels: y, (batch,), integers in [0, classes).

    Returns:
        (batch,), in nats.

    Raises:
        UserError: if the labels do not go with the logits; their values are looked at on the CPU alone.
    """
    return entropy_of(logits, checked_labels(logits, labels))


def entropy_of(logits: Logits, labels: Labels) -> PerExample:
    """Return `cross_entropy` of what is known to be right: to look at labels is to wait for them."""
    return F.cross_entropy(logits, ordinary(labels), reduction="none")


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Loss, name="cross-entropy"):
    """Cross-entropy."""

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `cross_entropy`."""
        del class_counts
        return entropy_of(logits, labels)

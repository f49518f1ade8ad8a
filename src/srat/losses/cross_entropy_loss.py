"""Cross-entropy."""

from dataclasses import dataclass

from torch.nn import functional as F

from srat.core.checked import checked
from srat.core.gradients import ordinary
from srat.data.counts import ClassCounts
from srat.losses.base import Labels, Logits, PerExample, SmoothedLoss, check_smoothing, checked_labels


@checked
def cross_entropy(logits: Logits, labels: Labels, smoothing: float = 0.0) -> PerExample:
    """Return the cross-entropy of each example, −log p_y with p = softmax(z).

    With smoothing it is (1 − s) · (−log p_y) + s · mean_j(−log p_j).

    Args:
        logits: z, (batch, classes).
        labels: y, (batch,), integers in [0, classes).
        smoothing: s, in [0, 1].

    Returns:
        (batch,), in nats.

    Raises:
        UserError: if the labels do not go with the logits (their values are looked at on the CPU alone), or s is out of
            range.

    Source: Szegedy et al., 2016, Section 7, for smoothing; Pang et al., 2021, for it in adversarial training.
    """
    check_smoothing(smoothing, "smoothing")
    return entropy_of(logits, checked_labels(logits, labels), smoothing)


def entropy_of(logits: Logits, labels: Labels, smoothing: float = 0.0) -> PerExample:
    """Return `cross_entropy` of what is known to be right: to look at labels is to wait for them."""
    return F.cross_entropy(logits, ordinary(labels), reduction="none", label_smoothing=smoothing)


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(SmoothedLoss, name="cross-entropy"):
    """Cross-entropy."""

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `cross_entropy`."""
        del class_counts
        return entropy_of(logits, labels, self.smoothing)

"""Class-dependent temperatures."""

from dataclasses import dataclass

import torch

from srat.core.checked import checked
from srat.core.errors import require_field
from srat.data.counts import ClassCounts, check_counts
from srat.losses.adjusting import PerClass, adjusted_entropy
from srat.losses.base import Labels, Logits, PerExample, SmoothedLoss, check_smoothing, checked_labels


@checked
def cdt(
    logits: Logits, labels: Labels, class_counts: ClassCounts, gamma: float = 0.3, smoothing: float = 0.0
) -> PerExample:
    """Return the loss of class-dependent temperatures of each example, cross-entropy of z_j / (n_max / n_j)^γ.

    Args:
        logits: z, (batch, classes), as served: without any divisor.
        labels: y, (batch,), integers in [0, classes).
        class_counts: n, (classes,), training examples of each class, at least 1.
        gamma: γ, in [0, 1]; 0 is cross-entropy.
        smoothing: s, of `cross_entropy`.

    Returns:
        (batch,), in nats.

    Raises:
        UserError: as `balanced_softmax`, with γ in the place of τ.

    Source: Ye et al., 2020; γ as in RoBal's code (`losses_inclass.py`).
    """
    check_counts(class_counts, classes=logits.shape[1])
    check_gamma(gamma, "gamma")
    check_smoothing(smoothing, "smoothing")
    labels = checked_labels(logits, labels)
    return adjusted_entropy(logits, labels, divisors=temperatures(class_counts, gamma), smoothing=smoothing)


def temperatures(class_counts: ClassCounts, gamma: float) -> PerClass:
    """Return Δ_j = (n_max / n_j)^γ of each class."""
    counts = torch.as_tensor(class_counts).double()
    return (counts.max() / counts).pow(gamma)


def check_gamma(gamma: float, where: str) -> None:
    """Raise ``UserError`` unless γ is one; ``where`` says whose."""
    require_field(0 <= gamma <= 1, where, "0 to 1", gamma, 0, 1)


@dataclass(frozen=True, kw_only=True)
class CDT(SmoothedLoss, name="cdt"):
    """Class-dependent temperatures (Ye et al., 2020): logits of rare classes are divided in training."""

    gamma: float = 0.3
    """γ, how far: logits are divided by (n_max / n)^γ in training; 0 is cross-entropy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_gamma(self.gamma, "loss.gamma")

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `cdt`."""
        divisors = temperatures(class_counts, self.gamma)
        return adjusted_entropy(logits, labels, divisors=divisors, smoothing=self.smoothing)

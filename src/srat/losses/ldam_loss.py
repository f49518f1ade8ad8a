"""Label-distribution-aware margin loss."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from srat.core.checked import checked
from srat.core.errors import require_field
from srat.data.counts import ClassCounts, check_counts
from srat.losses.adjusting import adjusted_entropy
from srat.losses.base import Labels, Logits, PerExample, SmoothedLoss, check_smoothing, checked_labels
from srat.models.heads import CosineHead, Head


@checked
def ldam_margins(class_counts: ClassCounts, max_margin: float = 0.5) -> Float[Tensor, " classes"]:
    """Return each class's margin, Δ_j = max_margin · n_j^(−1/4) / max_k n_k^(−1/4).

    Args:
        class_counts: n, (classes,), training examples of each class, at least 1.
        max_margin: the margin of the rarest class, in units of cos θ.

    Returns:
        (classes,), in units of cos θ.

    Raises:
        UserError: if a class has no example; tensors are looked at on the CPU alone.

    Source: Cao et al., 2019, Eq. 10 and Section 3.2.
    """
    check_counts(class_counts)
    check_margin(max_margin, "max_margin")
    return _margins(torch.as_tensor(class_counts), max_margin)


def _margins(class_counts: Tensor, max_margin: float) -> Float[Tensor, " classes"]:
    inverse = class_counts.double().pow(-0.25)
    return (max_margin * inverse / inverse.max()).float()


@checked
def ldam(
    logits: Logits,
    labels: Labels,
    class_counts: ClassCounts,
    max_margin: float = 0.5,
    scale: float = 30.0,
    smoothing: float = 0.0,
) -> PerExample:
    """Return the LDAM loss of each example, cross-entropy of z − s · Δ_y · e_y.

    Args:
        logits: z, (batch, classes), at the served scale: s · cos θ of a cosine head.
        labels: y, (batch,), integers in [0, classes).
        class_counts: n, (classes,), training examples of each class, at least 1.
        max_margin: the margin of the rarest class, in units of cos θ.
        scale: s, the head's scale.
        smoothing: s, of `cross_entropy`.

    Returns:
        (batch,), in nats; the logits are left as they are.

    Raises:
        UserError: as `cross_entropy`, if a class has no example or there is not a count for each, or a setting is out
            of range.

    Source: Cao et al., 2019, Eq. 13.
    """
    check_counts(class_counts, classes=logits.shape[1])
    check_scale(scale, "scale")
    check_smoothing(smoothing, "smoothing")
    labels = checked_labels(logits, labels)
    margins = scale * ldam_margins(class_counts, max_margin)
    return adjusted_entropy(logits, labels, margins=margins, smoothing=smoothing)


def check_margin(margin: float, where: str) -> None:
    """Raise ``UserError`` unless a margin is one between cosines; ``where`` says whose."""
    require_field(0 <= margin <= 2, where, "0 to 2", margin, 0, 2)


def check_scale(scale: float, where: str) -> None:
    """Raise ``UserError`` unless a scale of logits is one; ``where`` says whose."""
    require_field(scale > 0, where, "a positive number", scale, 0)


@dataclass(frozen=True, kw_only=True)
class LDAM(SmoothedLoss, name="ldam"):
    """Label-distribution-aware margin loss (Cao et al., 2019): rare classes get wider margins."""

    max_margin: float = 0.5
    """Margin of the rarest class, in units of cos θ."""
    scale: float = 30.0
    """s, the scale of the cosine head's logits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_margin(self.max_margin, "loss.max_margin")
        check_scale(self.scale, "loss.scale")

    @property
    def head(self) -> Head:
        """A cosine head of the same scale."""
        return CosineHead(scale=self.scale)

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `ldam`."""
        margins = self.scale * _margins(torch.as_tensor(class_counts), self.max_margin)
        return adjusted_entropy(logits, labels, margins=margins, smoothing=self.smoothing)

"""Label-distribution-aware margin loss."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from srat.errors import require
from srat.losses.base import ClassCounts, Labels, Logits, Loss, PerExample
from srat.losses.cross_entropy import cross_entropy
from srat.models.heads import CosineHead, Head


def ldam_margins(class_counts: ClassCounts, max_margin: float = 0.5) -> Float[Tensor, " classes"]:
    """Return each class's margin, Δ_j = max_margin · n_j^(−1/4) / max_k n_k^(−1/4).

    Args:
        class_counts: n, (classes,), training examples of each class, at least 1.
        max_margin: the margin of the rarest class, in units of cos θ.

    Returns:
        (classes,), in units of cos θ.

    Raises:
        UserError: if a count in a list is below 1.

    Source: Cao et al., 2019, Eq. 10 and Section 3.2.
    """
    if not isinstance(class_counts, Tensor):  # a look at a tensor would wait for its device; the trainer's is checked
        require(min(class_counts) >= 1, f"class counts: expected at least 1 in each class, got {list(class_counts)}")
    inverse = torch.as_tensor(class_counts).double().pow(-0.25)
    return (max_margin * inverse / inverse.max()).float()


def ldam(
    logits: Logits, labels: Labels, class_counts: ClassCounts, max_margin: float = 0.5, scale: float = 30.0
) -> PerExample:
    """Return the LDAM loss of each example, cross-entropy of z − s · Δ_y · e_y.

    Args:
        logits: z, (batch, classes), at the served scale: s · cos θ of a cosine head.
        labels: y, (batch,), integers in [0, classes).
        class_counts: n, (classes,), training examples of each class, at least 1.
        max_margin: the margin of the rarest class, in units of cos θ.
        scale: s, the head's scale.

    Returns:
        (batch,), in nats; the logits are left as they are.

    Source: Cao et al., 2019, Eq. 13.
    """
    margins = scale * ldam_margins(class_counts, max_margin).to(logits.device, logits.dtype)
    # Not F.one_hot, which looks at the labels, and so waits for them.
    own = labels[:, None] == torch.arange(logits.shape[1], device=labels.device)
    return cross_entropy(torch.where(own, logits - margins, logits), labels)


@dataclass(frozen=True, kw_only=True)
class LDAM(Loss, name="ldam"):
    """Label-distribution-aware margin loss (Cao et al., 2019): rare classes get wider margins."""

    max_margin: float = 0.5
    """Margin of the rarest class, in units of cos θ."""
    scale: float = 30.0
    """s, the scale of the cosine head's logits."""

    def __post_init__(self) -> None:
        require(0 <= self.max_margin <= 2, f"--loss.max-margin: expected 0 to 2, got {self.max_margin:g}")
        require(self.scale > 0, f"--loss.scale: expected a positive number, got {self.scale:g}")

    @property
    def head(self) -> Head:
        """A cosine head of the same scale."""
        return CosineHead(scale=self.scale)

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `ldam`."""
        return ldam(logits, labels, class_counts, self.max_margin, self.scale)

"""Focal loss, in its softmax form."""

from dataclasses import dataclass

from srat.errors import require
from srat.losses.base import ClassCounts, Labels, Logits, Loss, PerExample
from srat.losses.cross_entropy import cross_entropy


def focal(logits: Logits, labels: Labels, gamma: float = 1.0) -> PerExample:
    """Return the focal loss of each example, −(1 − p_y)^γ · log p_y with p = softmax(z).

    No class weight enters p_y; the objective multiplies it from outside.

    Args:
        logits: z, (batch, classes).
        labels: y, (batch,), integers in [0, classes).
        gamma: γ ≥ 0; 0 is cross-entropy.

    Returns:
        (batch,), in nats.

    Source: Lin et al., 2017, for several classes by softmax.
    """
    entropy = cross_entropy(logits, labels)
    # −expm1(−CE) is 1 − p_y without cancellation as p_y nears 1; the clamp keeps the power's gradient finite there.
    miss = (-(-entropy).expm1()).clamp(min=1e-12)
    return miss.pow(gamma) * entropy


@dataclass(frozen=True, kw_only=True)
class Focal(Loss, name="focal"):
    """Focal loss (Lin et al., 2017): examples that are right already count less."""

    gamma: float = 1.0
    """γ, how much less; 0 is cross-entropy."""

    def __post_init__(self) -> None:
        require(0 <= self.gamma <= 100, f"--loss.gamma: expected 0 to 100, got {self.gamma:g}")

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `focal`."""
        del class_counts
        return focal(logits, labels, self.gamma)

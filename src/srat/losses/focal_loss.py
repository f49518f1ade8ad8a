"""Focal loss, in its softmax form."""

from dataclasses import dataclass

from srat.core.checked import checked
from srat.core.errors import require_field
from srat.data.counts import ClassCounts
from srat.losses.base import Labels, Logits, Loss, PerExample
from srat.losses.cross_entropy_loss import cross_entropy, entropy_of


@checked
def focal(logits: Logits, labels: Labels, gamma: float = 1.0) -> PerExample:
    """Return the focal loss of each example, −(1 − p_y)^γ · log p_y with p = softmax(z).

    No class weight enters p_y; the objective multiplies it from outside.

    Args:
        logits: z, (batch, classes).
        labels: y, (batch,), integers in [0, classes).
        gamma: γ ≥ 0; 0 is cross-entropy.

    Returns:
        (batch,), in nats.

    Raises:
        UserError: as `cross_entropy`, or if γ is out of range.

    Source: Lin et al., 2017, for several classes by softmax.
    """
    check_gamma(gamma, "gamma")
    return _focused(cross_entropy(logits, labels), gamma)


def _focused(entropy: PerExample, gamma: float) -> PerExample:
    # −expm1(−CE) is 1 − p_y without cancellation as p_y nears 1; the clamp keeps the power's gradient finite there.
    miss = (-(-entropy).expm1()).clamp(min=1e-12)
    return miss.pow(gamma) * entropy


def check_gamma(gamma: float, where: str) -> None:
    """Raise ``UserError`` unless γ is one; ``where`` says whose."""
    require_field(0 <= gamma <= 100, where, "0 to 100", gamma, 0, 100)


@dataclass(frozen=True, kw_only=True)
class Focal(Loss, name="focal"):
    """Focal loss (Lin et al., 2017): examples that are right already count less."""

    gamma: float = 1.0
    """γ, how much less; 0 is cross-entropy."""

    def __post_init__(self) -> None:
        check_gamma(self.gamma, "loss.gamma")

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `focal`."""
        del class_counts
        return _focused(entropy_of(logits, labels), self.gamma)

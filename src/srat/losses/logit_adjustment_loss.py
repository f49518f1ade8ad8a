"""Logit adjustment, in the loss."""

from dataclasses import dataclass

from srat.core.checked import checked
from srat.data.counts import ClassCounts
from srat.losses.balanced_softmax_loss import BalancedSoftmax, balanced_softmax
from srat.losses.base import Labels, Logits, PerExample


@checked
def logit_adjustment(
    logits: Logits, labels: Labels, class_counts: ClassCounts, tau: float = 1.0, smoothing: float = 0.0
) -> PerExample:
    """Return the logit-adjusted loss of each example, cross-entropy of z_j + τ · ln π_j with π = n / Σn.

    It is `balanced_softmax`, for ln π and ln n differ by a constant.

    Args:
        logits: z, (batch, classes), as served: balanced as they are, without any offset.
        labels: y, (batch,), integers in [0, classes).
        class_counts: n, (classes,), training examples of each class, at least 1.
        tau: τ ≥ 0; 0 is cross-entropy.
        smoothing: s, of `cross_entropy`.

    Returns:
        (batch,), in nats.

    Raises:
        UserError: as `balanced_softmax`.

    Source: Menon et al., 2021, Eq. 10. Its post-hoc form is the head's, ``head.tau``.
    """
    return balanced_softmax(logits, labels, class_counts, tau, smoothing)


@dataclass(frozen=True, kw_only=True)
class LogitAdjustment(BalancedSoftmax, name="logit-adjustment", aliases=("la",)):
    """Logit adjustment (Menon et al., 2021): balanced softmax by another name, as ln π is ln n but for a constant."""

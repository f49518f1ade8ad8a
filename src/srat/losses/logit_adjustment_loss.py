"""Logit adjustment, in the loss."""

from dataclasses import dataclass

from typing_extensions import override

from srat.core.checked import checked
from srat.data.counts import ClassCounts, check_counts, log_prior
from srat.losses.adjusting import adjusted_entropy, check_tau
from srat.losses.base import Labels, Logits, PerExample, SmoothedLoss, check_smoothing, checked_labels


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
    check_counts(class_counts, classes=logits.shape[1])
    check_tau(tau, "tau")
    check_smoothing(smoothing, "smoothing")
    labels = checked_labels(logits, labels)
    return adjusted_entropy(logits, labels, offsets=tau * log_prior(class_counts), smoothing=smoothing)


@dataclass(frozen=True, kw_only=True)
class LogitAdjustment(SmoothedLoss, name="logit-adjustment", aliases=("la",)):
    """Logit adjustment (Menon et al., 2021): balanced softmax, with shares in the place of counts."""

    tau: float = 1.0
    """τ, how far: logits get τ · ln π in training; 0 is cross-entropy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tau(self.tau, "loss.tau")

    @property
    @override
    def balances(self) -> bool:
        return self.tau > 0

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `logit_adjustment`."""
        offsets = self.tau * log_prior(class_counts)
        return adjusted_entropy(logits, labels, offsets=offsets, smoothing=self.smoothing)

"""Vector scaling: temperatures and offsets together."""

from dataclasses import dataclass

from typing_extensions import override

from srat.core.checked import checked
from srat.data.counts import ClassCounts, check_counts, log_prior
from srat.losses.adjusting import adjusted_entropy, check_tau
from srat.losses.base import Labels, Logits, PerExample, SmoothedLoss, check_smoothing, checked_labels
from srat.losses.cdt_loss import check_gamma, temperatures


@checked
def vector_scaling(
    logits: Logits,
    labels: Labels,
    class_counts: ClassCounts,
    gamma: float = 0.3,
    tau: float = 1.0,
    smoothing: float = 0.0,
) -> PerExample:
    """Return the vector-scaling loss of each example, cross-entropy of z_j / (n_max / n_j)^γ + τ · ln π_j.

    Args:
        logits: z, (batch, classes), as served: without divisor and offset.
        labels: y, (batch,), integers in [0, classes).
        class_counts: n, (classes,), training examples of each class, at least 1.
        gamma: γ, in [0, 1]; 0 is `logit_adjustment`.
        tau: τ ≥ 0; 0 is `cdt`.
        smoothing: s, of `cross_entropy`.

    Returns:
        (batch,), in nats.

    Raises:
        UserError: as `balanced_softmax`, or if γ is out of range.

    Source: Kini et al., 2021, and its code (`class_imbalance/losses.py`).
    """
    check_counts(class_counts, classes=logits.shape[1])
    check_gamma(gamma, "gamma")
    check_tau(tau, "tau")
    check_smoothing(smoothing, "smoothing")
    return _scaled(logits, checked_labels(logits, labels), class_counts, gamma, tau, smoothing)


def _scaled(
    logits: Logits, labels: Labels, class_counts: ClassCounts, gamma: float, tau: float, smoothing: float
) -> PerExample:
    divisors, offsets = temperatures(class_counts, gamma), tau * log_prior(class_counts)
    return adjusted_entropy(logits, labels, divisors=divisors, offsets=offsets, smoothing=smoothing)


@dataclass(frozen=True, kw_only=True)
class VectorScaling(SmoothedLoss, name="vector-scaling", aliases=("vs",)):
    """Vector scaling (Kini et al., 2021): class-dependent temperatures and logit adjustment together."""

    gamma: float = 0.3
    """γ, of the temperatures: logits are divided by (n_max / n)^γ in training."""
    tau: float = 1.0
    """τ, of the offsets: logits get τ · ln π in training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_gamma(self.gamma, "loss.gamma")
        check_tau(self.tau, "loss.tau")

    @property
    @override
    def balances(self) -> bool:
        return self.tau > 0

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `vector_scaling`."""
        return _scaled(logits, labels, class_counts, self.gamma, self.tau, self.smoothing)

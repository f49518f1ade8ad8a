"""Balanced softmax."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from srat.core.checked import checked
from srat.data.counts import ClassCounts, check_counts
from srat.losses.adjusting import PerClass, adjusted_entropy, check_tau
from srat.losses.base import Labels, Logits, PerExample, SmoothedLoss, check_smoothing, checked_labels


@checked
def balanced_softmax(
    logits: Logits, labels: Labels, class_counts: ClassCounts, tau: float = 1.0, smoothing: float = 0.0
) -> PerExample:
    """Return the balanced softmax loss of each example, cross-entropy of z_j + τ · ln n_j.

    Args:
        logits: z, (batch, classes), as served: balanced as they are, without any offset.
        labels: y, (batch,), integers in [0, classes).
        class_counts: n, (classes,), training examples of each class, at least 1.
        tau: τ ≥ 0; 0 is cross-entropy.
        smoothing: s, of `cross_entropy`.

    Returns:
        (batch,), in nats.

    Raises:
        UserError: as `cross_entropy`, if a class has no example or there is not a count for each, or τ is out of range.

    Source: Ren et al., 2020, and its code (`loss/BalancedSoftmaxLoss.py`); under attack Yue et al., 2024 (AT-BSL).
    """
    check_counts(class_counts, classes=logits.shape[1])
    check_tau(tau, "tau")
    check_smoothing(smoothing, "smoothing")
    labels = checked_labels(logits, labels)
    return adjusted_entropy(logits, labels, offsets=_offsets(class_counts, tau), smoothing=smoothing)


def _offsets(class_counts: ClassCounts, tau: float) -> PerClass:
    return tau * torch.as_tensor(class_counts).double().log()


@dataclass(frozen=True, kw_only=True)
class BalancedSoftmax(SmoothedLoss, name="balanced-softmax", aliases=("bsl",)):
    """Balanced softmax (Ren et al., 2020): class counts enter the softmax in training; logits are served without."""

    tau: float = 1.0
    """τ, how far: logits get τ · ln n in training; 0 is cross-entropy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tau(self.tau, "loss.tau")

    @property
    @override
    def balances(self) -> bool:
        return self.tau > 0

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `balanced_softmax`."""
        offsets = _offsets(class_counts, self.tau)
        return adjusted_entropy(logits, labels, offsets=offsets, smoothing=self.smoothing)

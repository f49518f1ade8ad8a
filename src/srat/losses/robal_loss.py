"""The margin loss of RoBal."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from srat.core.checked import checked
from srat.data.counts import ClassCounts, check_counts, log_prior
from srat.losses.adjusting import PerClass, adjusted_entropy, check_tau
from srat.losses.base import Labels, Logits, PerExample, SmoothedLoss, check_smoothing, checked_labels
from srat.losses.ldam_loss import check_margin, check_scale
from srat.models.heads import CosineHead, Head


@checked
def robal_margins(
    class_counts: ClassCounts, min_margin: float = 0.1, scale: float = 10.0, tau_m: float = 0.3
) -> PerClass:
    """Return each class's margin, m_j = m₀ + (τ_m / s) · ln(n_j / n_min): the larger the class, the wider.

    Args:
        class_counts: n, (classes,), training examples of each class, at least 1.
        min_margin: m₀, the margin of the rarest class, in units of cos θ.
        scale: s, the head's scale.
        tau_m: τ_m ≥ 0, in units of logits.

    Returns:
        (classes,), in units of cos θ.

    Raises:
        UserError: if a class has no example, which is looked at on the CPU alone, or a setting is out of range.

    Source: Wu et al., 2021 (RoBal), and its code (`losses_inclass.py`).
    """
    check_counts(class_counts)
    check_margin(min_margin, "min_margin")
    check_scale(scale, "scale")
    check_tau(tau_m, "tau_m")
    return (_margins(class_counts, min_margin, scale, tau_m) / scale).float()


def _margins(class_counts: ClassCounts, min_margin: float, scale: float, tau_m: float) -> PerClass:
    """Return the margins in units of logits, s · m₀ + τ_m · ln(n / n_min), in float64."""
    counts = torch.as_tensor(class_counts).double()
    return scale * min_margin + tau_m * (counts / counts.min()).log()


@checked
def robal(
    logits: Logits,
    labels: Labels,
    class_counts: ClassCounts,
    min_margin: float = 0.1,
    scale: float = 10.0,
    tau_b: float = 1.5,
    tau_m: float = 0.3,
    smoothing: float = 0.0,
) -> PerExample:
    """Return RoBal's margin loss of each example, cross-entropy of z − s · m_y · e_y + τ_b · ln π.

    The authors' z are cosines, which their loss scales, but neither their attack nor their consistency term. Here the
    head scales, so that loss, attack and evaluation see the same logits.

    Args:
        logits: z, (batch, classes), at the served scale: s · cos θ of a cosine head.
        labels: y, (batch,), integers in [0, classes).
        class_counts: n, (classes,), training examples of each class, at least 1.
        min_margin: m₀, the margin of the rarest class, in units of cos θ.
        scale: s, the head's scale.
        tau_b: τ_b ≥ 0, of the offsets.
        tau_m: τ_m ≥ 0, how much wider the margins of larger classes are (`robal_margins`).
        smoothing: s, of `cross_entropy`.

    Returns:
        (batch,), in nats.

    Raises:
        UserError: as `balanced_softmax`, or if a setting is out of range.

    Source: Wu et al., 2021 (RoBal), and its code (`losses_inclass.py`).
    """
    check_counts(class_counts, classes=logits.shape[1])
    check_margin(min_margin, "min_margin")
    check_scale(scale, "scale")
    check_tau(tau_b, "tau_b")
    check_tau(tau_m, "tau_m")
    check_smoothing(smoothing, "smoothing")
    margins = _margins(class_counts, min_margin, scale, tau_m)
    labels = checked_labels(logits, labels)
    return adjusted_entropy(
        logits, labels, offsets=tau_b * log_prior(class_counts), margins=margins, smoothing=smoothing
    )


@dataclass(frozen=True, kw_only=True)
class RoBal(SmoothedLoss, name="robal"):
    """RoBal's margin loss (Wu et al., 2021): common classes get wider margins, and shares enter in training."""

    min_margin: float = 0.1
    """m₀, the margin of the rarest class, in units of cos θ."""
    scale: float = 10.0
    """s, the scale of the cosine head's logits."""
    tau_b: float = 1.5
    """τ_b, of the offsets: logits get τ_b · ln π in training."""
    tau_m: float = 0.3
    """τ_m, of the margins: m₀ + (τ_m / s) · ln(n / n_min)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_margin(self.min_margin, "loss.min_margin")
        check_scale(self.scale, "loss.scale")
        check_tau(self.tau_b, "loss.tau_b")
        check_tau(self.tau_m, "loss.tau_m")

    @property
    @override
    def head(self) -> Head:
        """A cosine head of the same scale, whose weights' lengths count a little, as the authors have it."""
        return CosineHead(scale=self.scale, gamma=1 / 32)

    @property
    @override
    def balances(self) -> bool:
        return self.tau_b > 0

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `robal`."""
        margins = _margins(class_counts, self.min_margin, self.scale, self.tau_m)
        offsets = self.tau_b * log_prior(class_counts)
        return adjusted_entropy(logits, labels, offsets=offsets, margins=margins, smoothing=self.smoothing)

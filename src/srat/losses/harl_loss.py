"""The hierarchical loss of TAET."""

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require_field
from srat.data.counts import ClassCounts
from srat.losses.adjusting import adjusted_entropy, own_class
from srat.losses.base import Labels, Logits, Loss, PerExample, checked_labels


@checked
def harl(
    logits: Logits,
    labels: Labels,
    alpha: float = 0.1,
    beta: float = 0.1,
    gamma: float = 0.1,
    floored: bool = True,
    absent_as_zero: bool = False,
) -> PerExample:
    """Return numbers whose mean is α · mean_c L_c + β · mean_c (L_c − L̄)² + γ · Σ_c (L_c / Σ_k L_k)² of the batch.

    L_c is the mean cross-entropy of class c in the batch, and L̄ is the mean of these. To the batch's loss H, class c
    has the weight w_c = ∂H/∂L_c = α/C + (2β/C) · (L_c − L̄) + (2γ/S) · (L_c/S − Σ_k (L_k/S)²) with S = Σ_k L_k. The
    number of an example is B · (w_y / n_y) · CE for B examples, n_y of them of its class, and a constant that makes the
    mean H. No gradient goes through weights and constant, so that of the mean is Σ_c w_c ∇L_c: that is ∇H, unless a
    weight is floored, and then it is no function's gradient.

    Args:
        logits: z, (batch, classes).
        labels: y, (batch,), integers in [0, classes).
        alpha: α ≥ 0, of the mean.
        beta: β ≥ 0, of the variance.
        gamma: γ ≥ 0, of the squared shares.
        floored: whether no class weighs less than 0. Without that the loss of classes that are well below the mean is
            driven up (w_c < 0 where L_c < L̄ − 1/2, as a rule, with the authors' constants). The value stays H.
        absent_as_zero: whether classes that are not in the batch count, as of loss 0. Together with ``floored=False``
            this is the authors' letter.

    Returns:
        (batch,); each depends on the whole batch.

    Raises:
        UserError: as `cross_entropy`, or if a factor is out of range.

    Source: Wang et al., 2025 (TAET), and its code (`code/HARL.py`), which has these constants.
    """
    for name, factor in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        check_factor(factor, name)
    return _hierarchical(logits, checked_labels(logits, labels), (alpha, beta, gamma), floored, absent_as_zero)


def _hierarchical(
    logits: Logits, labels: Labels, factors: tuple[float, float, float], floored: bool, absent_as_zero: bool
) -> PerExample:
    (alpha, beta, gamma), own = factors, own_class(labels, logits.shape[1])
    entropy = adjusted_entropy(logits, labels)
    known = entropy.detach()
    counts = own.sum(dim=0)
    means = (known[:, None] * own).sum(dim=0) / counts.clamp(min=1)
    counting = (counts > 0) | absent_as_zero
    number = counting.sum()
    mean = means.sum() / number
    above = (means - mean) * counting
    total = means.sum().clamp(min=1e-12)
    shares = means / total
    squared = shares.square().sum()
    value = alpha * mean + beta * above.square().sum() / number + gamma * squared
    weights = (alpha + 2 * beta * above) / number + 2 * gamma / total * (shares - squared)
    weights = weights.clamp(min=0) if floored else weights
    each = len(labels) * (weights / counts.clamp(min=1))[labels] * entropy
    return each + (value - each.detach().mean())


def check_factor(factor: float, where: str) -> None:
    """Raise ``UserError`` unless a factor of a part of a loss is one; ``where`` says whose."""
    require_field(0 <= factor <= 1000, where, "0 to 1,000", factor, 0, 1000)


@dataclass(frozen=True, kw_only=True)
class HARL(Loss, name="harl"):
    """Hierarchical adversarial robust learning (Wang et al., 2025; TAET): mean, variance and shares of class losses."""

    sees_batch: ClassVar[bool] = True
    alpha: float = 0.1
    """α, of the mean of the class losses."""
    beta: float = 0.1
    """β, of their variance."""
    gamma: float = 0.1
    """γ, of their squared shares."""
    floored: bool = True
    """No class weighs less than 0, so that no class's loss is driven up."""
    absent_as_zero: bool = False
    """Classes that are not in the batch count, as of loss 0; with no-floored the authors' letter."""

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma"):
            check_factor(getattr(self, name), f"loss.{name}")

    @property
    @override
    def balances(self) -> bool:
        return True  # every class of the batch counts alike

    def __call__(self, logits: Logits, labels: Labels, class_counts: ClassCounts) -> PerExample:
        """Return `harl`."""
        del class_counts
        factors = self.alpha, self.beta, self.gamma
        return _hierarchical(logits, labels, factors, self.floored, self.absent_as_zero)

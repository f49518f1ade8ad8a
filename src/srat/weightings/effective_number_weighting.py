"""Class-balanced weights by the effective number of samples."""

import math
from dataclasses import dataclass

import torch
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require_field
from srat.data.counts import ClassCounts
from srat.weightings.base import ClassWeights, Scale, Weighting, positive_counts, to_majority_one, to_mean_one


@checked
def effective_number(class_counts: ClassCounts, beta: float = 0.9999) -> ClassWeights:
    """Return weights ∝ (1 − β) / (1 − β^n), with mean 1.

    Args:
        class_counts: n, (classes,), training examples of each class, at least 1.
        beta: β in [0, 1); 0 weighs all classes alike, towards 1 the weights go to 1/n. The paper's "78" for
            5,000 : 50 is 0.9999.

    Returns:
        (classes,), mean 1.

    Raises:
        UserError: if a class has no example, or β is out of range.

    Source: Cui et al., 2019; footnote 3 of the paper.
    """
    check_beta(beta, "beta")
    counts = positive_counts(class_counts)
    # −expm1(n log β) is 1 − β^n without the cancellation as β nears 1.
    volume = -torch.expm1(counts * math.log(beta)) if beta > 0 else torch.ones_like(counts)
    return to_mean_one(1 / volume)


def check_beta(beta: float, where: str) -> None:
    """Raise ``UserError`` unless β is one; ``where`` says whose."""
    require_field(0 <= beta < 1, where, "0 ≤ β < 1", beta, 0, 1)


@dataclass(frozen=True, kw_only=True)
class EffectiveNumber(Weighting, name="effective-number"):
    """Class-balanced weights (Cui et al., 2019), inverse to the effective number of examples."""

    beta: float = 0.9999
    """β; towards 1 the weights go to 1/n."""
    scale: Scale = "mean_one"
    """What is 1: the mean over the classes, or the largest class."""

    def __post_init__(self) -> None:
        check_beta(self.beta, "weighting.beta")

    @checked
    @override
    def weights(self, class_counts: ClassCounts) -> ClassWeights:
        weights = effective_number(class_counts, self.beta)
        return to_majority_one(weights, class_counts) if self.scale == "majority_one" else weights

"""Weights inverse to the classes' counts."""

from dataclasses import dataclass

from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require_field
from srat.data.counts import ClassCounts
from srat.weightings.base import ClassWeights, Scale, Weighting, positive_counts, to_majority_one, to_mean_one


@checked
def inverse_frequency(class_counts: ClassCounts, power: float = 1.0) -> ClassWeights:
    """Return weights ∝ n^(−power), with mean 1.

    Args:
        class_counts: n, (classes,), training examples of each class, at least 1.
        power: 1 for the inverse, 0.5 for its square root, 0 for uniform.

    Returns:
        (classes,), mean 1.

    Raises:
        UserError: if a class has no example, or the power is out of range.
    """
    check_power(power, "power")
    return to_mean_one(positive_counts(class_counts).pow(-power))


def check_power(power: float, where: str) -> None:
    """Raise ``UserError`` unless an exponent is one; ``where`` says whose."""
    require_field(0 <= power <= 10, where, "0 to 10", power, 0, 10)


@dataclass(frozen=True, kw_only=True)
class InverseFrequency(Weighting, name="inverse-frequency"):
    """Weights inverse to the classes' counts."""

    power: float = 1.0
    """Exponent; 0.5 gives inverse square roots."""
    scale: Scale = "mean_one"
    """What is 1: the mean over the classes, or the largest class."""

    def __post_init__(self) -> None:
        check_power(self.power, "weighting.power")

    @checked
    @override
    def weights(self, class_counts: ClassCounts) -> ClassWeights:
        weights = inverse_frequency(class_counts, self.power)
        return to_majority_one(weights, class_counts) if self.scale == "majority_one" else weights

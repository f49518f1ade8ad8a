"""All classes alike."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from srat.core.checked import checked
from srat.data.counts import ClassCounts, check_counts
from srat.weightings.base import ClassWeights, Weighting


@checked
def uniform(class_counts: ClassCounts) -> ClassWeights:
    """Return a weight of 1 for each class.

    Args:
        class_counts: (classes,), training examples of each class.

    Returns:
        (classes,).

    Raises:
        UserError: if a class has no example.
    """
    check_counts(class_counts)
    return torch.ones(len(class_counts))


@dataclass(frozen=True, kw_only=True)
class Uniform(Weighting, name="uniform"):
    """All classes alike."""

    @checked
    @override
    def weights(self, class_counts: ClassCounts) -> ClassWeights:
        return uniform(class_counts)

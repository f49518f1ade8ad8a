"""Weights given one by one."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require
from srat.core.words import number
from srat.data.counts import ClassCounts, check_counts
from srat.weightings.base import ClassWeights, Weighting


@dataclass(frozen=True, kw_only=True)
class Fixed(Weighting, name="fixed"):
    """Weights given one by one, used as they are (the paper's Figures 2 and 5)."""

    values: tuple[float, ...] = ()
    """A weight for each class, in the order of the labels."""

    def __post_init__(self) -> None:
        bad = [w for w in self.values if not 0 < w < float("inf")]
        require(not bad, f"--weighting.values: expected positive numbers, got {', '.join(number(w, 0) for w in bad)}")

    @checked
    @override
    def weights(self, class_counts: ClassCounts) -> ClassWeights:
        check_counts(class_counts)
        require(
            len(self.values) == len(class_counts),
            f"--weighting.values: expected a weight for each of {len(class_counts)} classes, got {len(self.values)}",
        )
        return torch.tensor(self.values)

"""Weights given one by one."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require_field
from srat.data.counts import ClassCounts, check_counts
from srat.weightings.base import ClassWeights, Weighting


@dataclass(frozen=True, kw_only=True)
class Fixed(Weighting, name="fixed"):
    """Weights given one by one, used as they are (the paper's Figures 2 and 5)."""

    values: tuple[float, ...] = ()
    """A weight for each class, in the order of the labels."""

    def __post_init__(self) -> None:
        bad = tuple(w for w in self.values if not 0 < w < float("inf"))
        require_field(not bad, "weighting.values", "positive numbers", bad, 0)

    @checked
    @override
    def weights(self, class_counts: ClassCounts) -> ClassWeights:
        check_counts(class_counts)
        classes, there = len(class_counts), len(self.values)
        require_field(there == classes, "weighting.values", f"a weight for each of {classes} classes", there)
        return torch.tensor(self.values)

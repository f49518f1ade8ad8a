"""Weights that follow each class's accuracy under attack on the held-out part."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require_amount, require_field
from srat.data.counts import ClassCounts
from srat.feedback import Feedback, HeldOut, check_start, first_epoch
from srat.weightings.base import ClassWeights, Weighting, to_mean_one
from srat.weightings.uniform_weighting import uniform

PerClass = Float[Tensor, " classes"]


@checked
def reweighted(weights: PerClass, robust: PerClass, total: PerClass, rate: float = 0.5, most: float = 5.0) -> PerClass:
    """Return w_c · exp(η · (ā − a_c)) of each class, between 1 / m and m, with a_c = (r_c + 1) / (n_c + 2).

    ā is the mean of a_c over the classes that have an image; the w of the others stay. Of a handful of images a_c is
    drawn to one half, so that one image right or wrong is no reason for a leap.

    Args:
        weights: w, (classes,), positive.
        robust: r, (classes,), held-out images of each class that are right under attack.
        total: n, (classes,), all of them.
        rate: η, 0 or more.
        most: m, 1 or more.

    Returns:
        (classes,), in [1 / m, m].

    Raises:
        UserError: if η or m is out of range.

    Source: multiplicative weights (Freund and Schapire, 1997) on the classes, as FRL (Xu et al., 2021) moves its own.
    """
    check_rates(rate, most, "")
    there = total > 0
    accuracy = (robust + 1) / (total + 2)
    mean = (accuracy * there).sum() / there.sum().clamp(min=1)
    moved = (weights * (rate * (mean - accuracy)).exp()).clamp(1 / most, most)
    return torch.where(there, moved, weights)


def check_rates(rate: float, most: float, prefix: str) -> None:
    """Raise ``UserError`` unless η and m are such; ``prefix`` says whose."""
    require_amount(rate, f"{prefix}rate")
    require_field(1 <= most < float("inf"), f"{prefix}most", "1 or more", most, 1)


class HeldOutAccuracy(Feedback):
    """The weights of `reweighted`, scaled to mean 1.

    Args:
        classes: how many there are.
        weighting: its settings.
    """

    weights: PerClass

    def __init__(self, classes: int, weighting: "HeldOutWeighting") -> None:
        super().__init__(classes)
        self.weighting = weighting
        self.register_buffer("weights", torch.ones(classes, dtype=torch.float64))

    @override
    def close(self, epoch: int, *, epochs: int, held_out: HeldOut | None) -> None:
        weighting = self.weighting
        if held_out is None or epoch + 1 < first_epoch(weighting.start, epochs):
            return
        total, robust = held_out.total, held_out.robust
        self.weights.copy_(reweighted(self.weights, robust, total, weighting.rate, weighting.most))
        self.factors.copy_(to_mean_one(self.weights))


@dataclass(frozen=True, kw_only=True)
class HeldOutWeighting(Weighting, name="held-out"):
    """More weight, epoch by epoch, for classes of which less of the held-out part is right under attack.

    No weights apply before ``schedule.reweight_from``.
    """

    sees_held_out: ClassVar[bool] = True

    rate: float = 0.5
    """η, how fast the weights move."""
    most: float = 5.0
    """m: no class's weight goes beyond 1 / m and m, before all are scaled to mean 1."""
    start: float = 0.1
    """Part of the run before they move."""

    def __post_init__(self) -> None:
        check_rates(self.rate, self.most, "weighting.")
        check_start(self.start, "weighting.start")

    @checked
    @override
    def weights(self, class_counts: ClassCounts) -> ClassWeights:
        return uniform(class_counts)

    @override
    def feedback(self, *, classes: int) -> Feedback:
        return HeldOutAccuracy(classes, self)

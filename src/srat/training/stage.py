"""Where in the run a step is, and what holds there."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from srat.attacks import Attack
from srat.data import Targets


class Stage(NamedTuple):
    """What a step is told beside its batch."""

    epoch: int
    """Counted from 0."""
    step: int
    """Of the run, counted from 0."""
    class_counts: Int[Tensor, " classes"]
    """Examples of each class that the epoch draws."""
    weights: Float[Tensor, " classes"]
    """w of each class; ones before the weights apply."""
    scales: Float[Tensor, " classes"] | None
    """What each class's budget is multiplied by; None for 1."""
    attack: Attack
    """The training attack, with the steps that it takes in this epoch."""

    def weights_of(self, targets: Targets) -> Float[Tensor, " n"]:
        """Return w of each example."""
        return targets.mean(self.weights.__getitem__)

    def scale_of(self, targets: Targets) -> Float[Tensor, " n"] | None:
        """Return what each example's budget is multiplied by."""
        return None if self.scales is None else targets.mean(self.scales.__getitem__)

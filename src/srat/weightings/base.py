"""What a weighting is: from the classes' counts to a weight for each class."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from srat.core.members import Member
from srat.data.counts import ClassCounts, check_counts
from srat.feedback import Feedback

ClassWeights = Float[Tensor, " classes"]
Scale = Literal["mean_one", "majority_one"]


def positive_counts(class_counts: ClassCounts) -> Float[Tensor, " classes"]:
    """Return the counts as float64, or raise ``UserError`` if a class has no example."""
    check_counts(class_counts.cpu() if isinstance(class_counts, Tensor) else class_counts)
    return torch.as_tensor(class_counts).double()


def to_mean_one(weights: ClassWeights) -> ClassWeights:
    """Return float32 weights with mean 1 over the classes, as Cui et al., 2019, scale them."""
    return (weights / weights.mean()).float()


def to_majority_one(weights: ClassWeights, class_counts: ClassCounts) -> ClassWeights:
    """Return float32 weights that are 1 for the largest class, as in the paper's Figure 5."""
    return (weights / weights[torch.as_tensor(class_counts).argmax()]).float()


@dataclass(frozen=True, kw_only=True)
class Weighting(Member):
    """The weights w_i of Eq. 5, a number for each class."""

    sees_held_out: ClassVar[bool] = False
    """Whether its feedback asks for the held-out part."""

    def weights(self, class_counts: ClassCounts) -> ClassWeights:
        """Return the weight of each class.

        Args:
            class_counts: (classes,), training examples of each class, at least 1.
        """
        raise NotImplementedError

    def feedback(self, *, classes: int) -> Feedback | None:
        """Return what learns, while the run goes on, what the weights are multiplied by; None for nothing.

        Args:
            classes: how many there are.
        """
        del classes
        return None

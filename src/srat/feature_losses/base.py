"""What a feature loss is: one number per anchor, and which anchors count."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

from srat.core.members import Member

Features = Float[Tensor, "batch dimensions"]
Labels = Int[Tensor, " batch"]


class FeatureTerm(NamedTuple):
    """A feature loss of a batch."""

    values: Float[Tensor, " batch"]
    """The loss of each anchor; 0 where the anchor does not count."""
    counts: Bool[Tensor, " batch"]
    """Which anchors the objective averages over."""


@dataclass(frozen=True, kw_only=True)
class FeatureLoss(Member):
    """A loss on features, L_sep of Eq. 7."""

    @property
    def projection(self) -> int:
        """Dimensions of the projection that the features pass through first; 0 for none."""
        return 0

    def __call__(self, features: Features, labels: Labels) -> FeatureTerm | None:
        """Return the loss of each anchor, or None if there is none to compute."""
        raise NotImplementedError

"""What a feature loss is: one number per anchor, and which anchors count."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from srat.core.members import Member
from srat.data.counts import ClassCounts

Features = Float[Tensor, "batch dimensions"]
Labels = Int[Tensor, " batch"]


class FeatureTerm(NamedTuple):
    """A feature loss of a batch."""

    values: Float[Tensor, " batch"]
    """The loss of each anchor; 0 where the anchor does not count."""
    counts: Bool[Tensor, " batch"]
    """Which anchors the objective averages over."""


class Memory(nn.Module):
    """What a feature loss remembers of earlier steps, in buffers, so that checkpoints hold it."""

    def remember(self, features: Features, labels: Labels) -> None:
        """Take in what a step has seen, after it.

        Args:
            features: (batch, dimensions), without their gradient.
            labels: (batch,), the classes.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class FeatureLoss(Member):
    """A loss on features, L_sep of Eq. 7."""

    @property
    def projection(self) -> int:
        """Dimensions of the projection that the features pass through first; 0 for none."""
        return 0

    def memory(self, *, dimensions: int, classes: int) -> Memory | None:
        """Return what the loss remembers of earlier steps, empty; None if it looks at the batch alone.

        Args:
            dimensions: of a feature.
            classes: how many there are.
        """
        del dimensions, classes
        return None

    def __call__(
        self,
        features: Features,
        labels: Labels,
        memory: Memory | None = None,
        class_counts: ClassCounts | None = None,
    ) -> FeatureTerm | None:
        """Return the loss of each anchor, or None if there is none to compute.

        Args:
            features: (batch, dimensions).
            labels: (batch,), integers in [0, classes).
            memory: what `memory` has made, as it is after the steps before.
            class_counts: (classes,), examples of each class that an epoch draws; a tensor on the features' device
                where no transfer may happen.
        """
        raise NotImplementedError

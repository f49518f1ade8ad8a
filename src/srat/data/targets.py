"""Which classes the examples of a batch are of."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Int, Shaped
from torch import Tensor

Labels = Int[Tensor, " n"]


class Targets(NamedTuple):
    """The class of each example; where images are mixed, both classes, and λ, which is the same in the whole batch.

    Whatever depends on a class (a loss, a budget, a weight) is, of a mixed image, the mean of what it is for both.
    """

    labels: Labels
    """The classes of the images themselves."""
    partners: Labels | None = None
    """The classes of the images that these are mixed with; None where nothing is mixed."""
    share: float = 1.0
    """λ, the part of an image itself, in [0, 1]."""

    def mean(self, of: Callable[[Labels], Shaped[Tensor, " n"]]) -> Shaped[Tensor, " n"]:
        """Return λ · of(labels) + (1 − λ) · of(partners), or of(labels) where nothing is mixed.

        For a cross-entropy of logits that are adjusted alike whatever the label (cross-entropy itself, balanced
        softmax, logit adjustment, vector scaling, CDT) that is the one with soft targets, λ of the one class and 1 − λ
        of the other. Of losses that are no such thing (focal, LDAM, RoBal, HARL, MART) it is the same mean.

        Args:
            of: labels → a number for each, (n,).
        """
        own = of(self.labels)
        return own if self.partners is None else self.share * own + (1 - self.share) * of(self.partners)

    def at(self, part: slice) -> "Targets":
        """Return the targets of some of the examples."""
        partners = None if self.partners is None else self.partners[part]
        return Targets(self.labels[part], partners, self.share)

    @property
    def main(self) -> Labels:
        """One class each, for what takes no two: that of the larger part, the image's own where both are halves."""
        return self.labels if self.partners is None or self.share >= 0.5 else self.partners

"""What a mixing is: which images of a batch are mixed with which, in which parts, and how."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from srat.core.errors import require_field
from srat.core.members import Member

Images = Float[Tensor, "n channels height width"]
Blend = Callable[[Images, Images], Images]
"""Images and their partners → the mixed images, in [0, 1] as they are."""


class Mix(NamedTuple):
    """How a batch is mixed."""

    partners: Int[Tensor, " batch"]
    """What each image is mixed with, on the CPU: its place in the batch, or behind it that among the added ones."""
    share: float
    """λ, the part of an image itself, in [0, 1)."""
    blend: Blend
    """What mixes them so that λ is the part of each image itself."""
    added: Int[Tensor, " added"] | None = None
    """Examples that are taken beside the batch to be mixed with it, by their indices; None for none."""


@dataclass(frozen=True, kw_only=True)
class Mixing(Member):
    """How training images are mixed in pairs, their labels with them."""

    def draw(
        self, batch: int, height: int, width: int, *, labels: Int[Tensor, " n"], generator: torch.Generator
    ) -> Mix | None:
        """Return how a batch is mixed; None if it is left as it is.

        Args:
            batch: the number of its images, over all processes.
            height: of an image, in pixels.
            width: of an image, in pixels.
            labels: (n,), the classes of all training examples, on the CPU.
            generator: the source, on the CPU and the same in all processes, so that they mix as one would.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class PairMixing(Mixing):
    """A mixing with λ ~ Beta(α, α), one λ for all images of a batch; partners are a permutation of them."""

    alpha: float = 1.0
    """α of λ ~ Beta(α, α): at 1 all λ alike; the smaller, the less images are mixed."""
    probability: float = 1.0
    """Probability that a batch is mixed at all."""

    def __post_init__(self) -> None:
        require_field(0 < self.alpha <= 1000, "mixing.alpha", "above 0 and at most 1,000", self.alpha, 0, 1000)
        probability = self.probability
        require_field(0 <= probability <= 1, "mixing.probability", "a probability from 0 to 1", probability, 0, 1)

    def blending(self, share: float, height: int, width: int, *, generator: torch.Generator) -> tuple[float, Blend]:
        """Return λ as whole pixels allow it, and what mixes images in these parts.

        Args:
            share: λ as it was drawn.
            height: of an image, in pixels.
            width: of an image, in pixels.
            generator: the source of what else is drawn.
        """
        raise NotImplementedError

    def pairing(
        self, batch: int, labels: Int[Tensor, " n"], *, generator: torch.Generator
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " added"] | None]:
        """Return the partners of a batch's images, and which examples are added to be such.

        Args:
            batch: the number of its images, over all processes.
            labels: (n,), the classes of all training examples.
            generator: the source.
        """
        del labels
        return torch.randperm(batch, generator=generator), None

    def draw(
        self, batch: int, height: int, width: int, *, labels: Int[Tensor, " n"], generator: torch.Generator
    ) -> Mix | None:
        """Return λ, partners and blend; None with probability 1 − ``probability``, or where λ is 1."""
        if uniform(generator) >= self.probability:
            return None
        share, blend = self.blending(beta(self.alpha, generator), height, width, generator=generator)
        if share >= 1:
            return None
        partners, added = self.pairing(batch, labels, generator=generator)
        return Mix(partners, share, blend, added)


def uniform(generator: torch.Generator) -> float:
    """Return a number drawn from [0, 1)."""
    return torch.rand((), dtype=torch.float64, generator=generator).item()


def beta(alpha: float, generator: torch.Generator) -> float:
    """Return λ ~ Beta(α, α): where its distribution function reaches one number that is uniform in [0, 1)."""
    from scipy.special import betaincinv

    return float(betaincinv(alpha, alpha, uniform(generator)))

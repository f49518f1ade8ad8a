"""Images that are nearly the same: of one part within another, and of one recording."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from srat.data.looks import HASHED, Looks

RANK = 10
"""The neighbour whose distance the nearest one's is compared with."""
MUTUAL = 3
"""Neighbours of an image, among whom another one of its recording is, and it among that one's."""
PAIRS = 1 << 25
"""Pairs that are compared at a time."""


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """When two images are nearly the same."""

    correlation: float = 0.9
    """Of their thumbnails, at the least, …"""
    bits: int = 12
    """… bits of 64 in which their hashes may differ, …"""
    ratio: float = 0.4
    """… and distance, over that of the tenth nearest: what is alike all over, as digits are, is no twin for that, …"""
    surely: float = 0.99
    """… unless the correlation is as large as this."""


LIKENESS = Likeness()


@dataclass(frozen=True, eq=False)
class Nearest:
    """The image of other ones that is nearest to each image.

    Args:
        which: its position.
        correlation: of the two thumbnails.
        is_twin: whether the two are nearly the same.
    """

    which: Int[Tensor, " n"]
    correlation: Float[Tensor, " n"]
    is_twin: Bool[Tensor, " n"]


def nearest(
    images: Looks, others: Looks, alike: Likeness = LIKENESS, told: Callable[[int, int], None] = lambda *_: None
) -> Nearest:
    """Return which of other images is nearest to each image, and whether the two are twins.

    Args:
        images: the images, test images say.
        others: those among which their twins may be.
        alike: what makes two images twins.
        told: how many of how many images are done.
    """
    rank, found = min(RANK, len(others)), []
    for some in torch.split(torch.arange(len(images)), max(1, PAIRS // len(others))):
        near, which = (images.vectors[some] @ others.vectors.T).topk(rank, dim=1)
        distance = (2 - 2 * near[:, [0, -1]]).clamp(min=0).sqrt()
        differ = _differing(images.hashes[some], others.hashes[which[:, 0]])
        apart = (distance[:, 0] <= alike.ratio * distance[:, 1]) | (near[:, 0] >= alike.surely)
        is_twin = (near[:, 0] >= alike.correlation) & (differ <= alike.bits) & apart
        found.append((which[:, 0], near[:, 0], is_twin))
        told(int(some[-1]) + 1, len(images))
    which, correlation, is_twin = map(torch.cat, zip(*found, strict=True))
    return Nearest(which, correlation, is_twin)


def mutual_twins(
    looks: Looks, labels: Int[Tensor, " n"], told: Callable[[int, int], None] = lambda *_: None
) -> Int[Tensor, "pairs 2"]:
    """Return pairs of images of one class that are nearly the same: each is among the three nearest of the other.

    Many frames of a recording are alike, so that none stands out from the tenth nearest; that two choose each other
    among all images of the class tells them from others. What is surely the same needs only be among the ten nearest.

    Args:
        looks: of the images.
        labels: their classes.
        told: how many of how many images are done.
    """
    pairs, done = [], 0
    for label in sorted(set(labels.tolist())):
        own = torch.nonzero(labels == label).flatten()
        pairs.append(own[_mutual(looks.subset(own))])
        told(done := done + len(own), len(labels))
    return torch.cat([*pairs, torch.empty(0, 2, dtype=torch.long)])


def takes(images: int, pairs: Int[Tensor, "pairs 2"]) -> list[int]:
    """Return for each image the number of its take: images that are joined by pairs, over others too, are of one.

    Args:
        images: how many there are.
        pairs: of images.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one, other = pairs.T.numpy()
    joined = coo_array((torch.ones(len(pairs)).numpy(), (one, other)), (images, images))
    numbers: Sequence[int] = connected_components(joined, directed=False)[1].tolist()
    return list(numbers)


def _mutual(looks: Looks) -> Int[Tensor, "pairs 2"]:
    rank, rows = min(RANK, len(looks) - 1), torch.arange(len(looks))
    if rank < 1:
        return torch.empty(0, 2, dtype=torch.long)
    near, which = (torch.cat(each) for each in zip(*_ranked(looks, rank), strict=True))
    one, other, correlation = rows.repeat_interleave(rank), which.flatten(), near.flatten()
    among_first = torch.arange(rank).repeat(len(looks)) < MUTUAL
    mutual = among_first & (which[other, :MUTUAL] == one[:, None]).any(dim=1)
    chosen = (mutual & (correlation >= LIKENESS.correlation)) | (correlation >= LIKENESS.surely)
    both_ways = torch.stack((one[chosen], other[chosen]), dim=1).sort(dim=1).values
    pairs = torch.from_numpy(np.unique(both_ways.numpy(), axis=0))
    return pairs[_differing(looks.hashes[pairs[:, 0]], looks.hashes[pairs[:, 1]]) <= LIKENESS.bits]


def _ranked(looks: Looks, rank: int) -> list[tuple[Tensor, Tensor]]:
    """Return the correlations and positions of the nearest other images, block by block."""
    found = []
    for some in torch.split(torch.arange(len(looks)), max(1, PAIRS // len(looks))):
        near = looks.vectors[some] @ looks.vectors.T
        near[torch.arange(len(some)), some] = -2  # itself
        best, which = near.topk(rank, dim=1)
        found.append((best, which))
    return found


def _differing(hashes: Float[Tensor, "n 64"], others: Float[Tensor, "n 64"]) -> Float[Tensor, " n"]:
    """Return in how many bits hashes differ: of vectors of ±1 the product is 64 less twice that number."""
    return (HASHED * HASHED - (hashes * others).sum(dim=1)) / 2

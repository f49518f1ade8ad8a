"""Test images among the training images."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from srat.audit.base import Check, Finding, Subject, judged, percent
from srat.data import Dataset, to_unit

SIDE = 8
"""Of the thumbnails that are hashed."""
ROWS = 2_000
"""Images that are hashed, or compared with all others, at a time."""


@dataclass(frozen=True, kw_only=True)
class Disjoint(Check, name="disjoint"):
    """A test on what was learned by heart."""

    question: ClassVar[str] = "Is no test image, or nearly the same one, among the training images?"
    bits: int = 6
    """Bits of 64 in which the hashes of two images that are nearly the same may differ, …"""
    distance: float = 0.04
    """… and root of the mean squared difference of their pixels, in [0, 1]."""
    warn: float = 0.0
    """Share of test images with a twin, …"""
    fail: float = 0.01
    """… above which the test is not one."""

    def examine(self, subject: Subject) -> Finding | None:
        """Hash thumbnails of all images, and compare those in full whose hashes are near each other."""
        if subject.test is None or subject.train is None:
            return None
        near, same = twins(subject.test, subject.train, bits=self.bits, distance=self.distance)
        exact, total = int(same.sum()), len(subject.test)
        like = int(near.sum())
        return Finding(
            verdict=judged(like, total, warn=self.warn, fail=self.fail),
            evidence=f"of {total:,} test images {exact:,} are among the training images, and {like - exact:,} "
            f"({percent(like - exact, total)}) nearly so",
            figures={"exact": exact / total, "near": like / total},
        )


def twins(
    test: Dataset, train: Dataset, *, bits: int, distance: float
) -> tuple[Bool[Tensor, " test"], Bool[Tensor, " test"]]:
    """Return which test images are nearly, and which are exactly, among the training images.

    Args:
        test: the test images.
        train: the training images.
        bits: in which the hashes of candidates may differ.
        distance: root of the mean squared difference of the pixels of those that are nearly the same.
    """
    known = _hashes(train)
    near, same = torch.zeros(len(test), dtype=torch.bool), torch.zeros(len(test), dtype=torch.bool)
    for start in range(0, len(test), ROWS):
        hashes = _hashes(test, slice(start, start + ROWS))
        # Of vectors of ±1 the product is 64 less twice the number of bits that differ.
        mine, theirs = (hashes @ known.T >= SIDE * SIDE - 2 * bits).nonzero(as_tuple=True)
        for some in torch.split(torch.arange(len(mine)), ROWS):
            one, other = _pixels(test, mine[some] + start), _pixels(train, theirs[some])
            off = (one - other).flatten(1).square().mean(dim=1).sqrt()
            near[mine[some][off <= distance] + start] = True
            same[mine[some][off == 0] + start] = True
    return near, same


def _hashes(dataset: Dataset, part: slice | None = None) -> Float[Tensor, "n 64"]:
    """Return for each image which of 8 × 8 places are brighter than the place before, as ±1."""
    positions = torch.arange(len(dataset))[part or slice(None)]
    rows = []
    for some in torch.split(positions, ROWS):
        grey = _pixels(dataset, some).mean(dim=1, keepdim=True)
        thumbnails = F.interpolate(grey, (SIDE, SIDE + 1), mode="bilinear", antialias=True, align_corners=False)
        rows.append((thumbnails[..., 1:] > thumbnails[..., :-1]).flatten(1).float() * 2 - 1)
    return torch.cat(rows)


def _pixels(dataset: Dataset, positions: Tensor) -> Float[Tensor, "n channels height width"]:
    images = dataset.images
    chosen = images[positions.to(images.device)] if isinstance(images, Tensor) else images[positions]
    return to_unit(chosen.cpu())

"""Test images among the training images."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor
from torch.nn import functional as F

from srat.audit.base import Check, Finding, Subject, judged
from srat.core.words import percent
from srat.data import Dataset, to_unit

SIDE = 16
"""Of the grey thumbnails whose pixels are correlated."""
HASHED = 8
"""Of those whose differences from place to place are hashed, to 64 bits."""
RANK = 10
"""The neighbour whose distance the nearest one's is compared with."""
ROWS = 1_000
"""Images that are looked at at a time."""
PAIRS = 1 << 25
"""Pairs that are compared at a time."""


@dataclass(frozen=True, kw_only=True)
class Disjoint(Check, name="disjoint"):
    """A test on what was learned by heart."""

    question: ClassVar[str] = "Is no test image, or nearly the same one, among the training images?"
    needs: ClassVar[frozenset[str]] = frozenset({"train"})
    correlation: float = 0.9
    """Of the thumbnails of two images that are nearly the same, at the least, …"""
    bits: int = 12
    """… bits in which their hashes may differ, …"""
    ratio: float = 0.4
    """… and distance, over that of the tenth nearest: what is alike all over, as digits are, is no twin for that, …"""
    surely: float = 0.99
    """… unless the correlation is as large as this."""
    warn: float = 0.01
    """Share of test images with a twin, …"""
    fail: float = 0.05
    """… above which the test is not one."""

    def examine(self, subject: Subject) -> Finding | None:
        """Look for the bytes of each test image, and for its like, among the training images."""
        if subject.test is None or subject.train is None:
            return None
        same = exact_twins(subject.test, subject.train)
        near = near_twins(
            subject.test,
            subject.train,
            correlation=self.correlation,
            bits=self.bits,
            ratio=self.ratio,
            surely=self.surely,
        )
        exact, like, total = int(same.sum()), int((near & ~same).sum()), len(subject.test)
        return Finding(
            verdict=judged(exact + like, total, warn=self.warn, fail=self.fail),
            evidence=f"{exact:,} of {total:,} test images are among the training images, and {like:,} "
            f"({percent(like, total)}) are nearly the same as one",
            figures={"exact": exact / total, "near": like / total},
        )


def exact_twins(test: Dataset, train: Dataset) -> Bool[Tensor, " test"]:
    """Return which test images are among the training images, by the hash of their pixels."""
    known = set(_digests(train))
    return torch.tensor([digest in known for digest in _digests(test)])


def near_twins(
    test: Dataset, train: Dataset, *, correlation: float, bits: int, ratio: float, surely: float
) -> Bool[Tensor, " test"]:
    """Return which test images are nearly among the training images.

    Args:
        test: the test images.
        train: the training images.
        correlation: of the thumbnails of a test image and the training image nearest to it, at the least.
        bits: in which the hashes of the two may differ, of 64.
        ratio: of its distance to that of the tenth nearest, at the most, unless …
        surely: … the correlation is at least this.
    """
    (vectors, hashes), (known, known_hashes) = _looks(test), _looks(train)
    rank, found = min(RANK, len(train)), []
    for some in torch.split(torch.arange(len(test)), max(1, PAIRS // len(train))):
        alike, which = (vectors[some] @ known.T).topk(rank, dim=1)
        distance = (2 - 2 * alike[:, [0, -1]]).clamp(min=0).sqrt()
        # Of vectors of ±1 the product is 64 less twice the number of bits that differ.
        differ = (HASHED * HASHED - (hashes[some] * known_hashes[which[:, 0]]).sum(dim=1)) / 2
        apart = (distance[:, 0] <= ratio * distance[:, 1]) | (alike[:, 0] >= surely)
        found.append((alike[:, 0] >= correlation) & (differ <= bits) & apart)
    return torch.cat(found)


def _digests(dataset: Dataset) -> Iterator[bytes]:
    for images in _batches(dataset):
        for image in images:
            yield blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()


def _looks(dataset: Dataset) -> tuple[Float[Tensor, "n pixels"], Float[Tensor, "n 64"]]:
    """Return thumbnails without their mean, of length 1, and which places are brighter than the one before, as ±1."""
    vectors, hashes = [], []
    for images in _batches(dataset):
        grey = to_unit(images).mean(dim=1, keepdim=True)
        small = F.interpolate(grey, (SIDE, SIDE), mode="bilinear", antialias=True).flatten(1)
        vectors.append(F.normalize(small - small.mean(dim=1, keepdim=True), dim=1))
        smaller = F.interpolate(grey, (HASHED, HASHED + 1), mode="bilinear", antialias=True)
        hashes.append((smaller[..., 1:] > smaller[..., :-1]).flatten(1).float() * 2 - 1)
    return torch.cat(vectors), torch.cat(hashes)


def _batches(dataset: Dataset) -> Iterator[Num[Tensor, "n channels height width"]]:
    for start in range(0, len(dataset), ROWS):
        yield dataset.images[start : start + ROWS].cpu()

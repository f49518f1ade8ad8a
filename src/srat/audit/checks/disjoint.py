"""Test images among the training images."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar

import torch
from jaxtyping import Bool, Num
from torch import Tensor

from srat.audit.base import Check, Finding, Subject, judged
from srat.core.words import percent
from srat.data import Dataset
from srat.data.looks import ROWS, looks_of
from srat.data.near_twins import LIKENESS, Likeness, nearest


@dataclass(frozen=True, kw_only=True)
class Disjoint(Check, name="disjoint"):
    """A test on what was learned by heart."""

    question: ClassVar[str] = "Is no test image, or nearly the same one, among the training images?"
    needs: ClassVar[frozenset[str]] = frozenset({"train"})
    correlation: float = LIKENESS.correlation
    """Of the thumbnails of two images that are nearly the same, at the least, …"""
    bits: int = LIKENESS.bits
    """… bits in which their hashes may differ, …"""
    ratio: float = LIKENESS.ratio
    """… and distance, over that of the tenth nearest: what is alike all over, as digits are, is no twin for that, …"""
    surely: float = LIKENESS.surely
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
    alike = Likeness(correlation=correlation, bits=bits, ratio=ratio, surely=surely)
    return nearest(looks_of(test), looks_of(train), alike).is_twin


def _digests(dataset: Dataset) -> Iterator[bytes]:
    for images in _batches(dataset):
        for image in images:
            yield blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()


def _batches(dataset: Dataset) -> Iterator[Num[Tensor, "n channels height width"]]:
    for start in range(0, len(dataset), ROWS):
        yield dataset.images[start : start + ROWS].cpu()

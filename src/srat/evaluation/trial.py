"""A model before a data set, and the ways in which attacks are given its images."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from srat.data import Dataset, to_unit
from srat.data.feed import ahead
from srat.evaluation.observer import Observer
from srat.models import logits_at
from srat.runtime.machine import available
from srat.runtime.processes import ALONE, Processes

T = TypeVar("T")
Images = Float[Tensor, "batch channels height width"]
_PART = 1 << 30
"""Bytes of images and their noise that lie on the device at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A model, in eval mode, before a data set on its device.

    Args:
        model: images in [0, 1] → logits, or an output that has them.
        dataset: the images.
        seed: of the attacks' randomness; every image has its own.
        batch_size: images in each pass.
        observer: told how many images this process has finished.
        processes: those that share the images.
        in_place: whether images keep their places in batches, of a model whose answers depend on these.
    """

    model: nn.Module
    dataset: Dataset
    seed: int
    batch_size: int
    observer: Observer
    processes: Processes = ALONE
    in_place: bool = False

    @property
    def device(self) -> torch.device:
        """Where the labels lie, and where the model computes."""
        return self.dataset.labels.device

    @property
    def slots(self) -> int:
        """Images in every pass: kernels, and with them the rounding of an image's logits, depend on it."""
        return min(self.batch_size, len(self.dataset))

    def slots_for(self, standing: int) -> int:
        """Return how many slots a pool has whose images are those of all processes that stand before a round.

        As few as fill up as often: few slots are idle at the end. They do not depend on what a run that was
        interrupted has left to do, so that it goes on in passes of the same size.
        """
        if self.in_place:
            return self.slots
        share = math.ceil(standing / self.processes.count)
        return math.ceil(share / math.ceil(share / self.slots)) if share else 1

    def logits(self, images: Images) -> Float[Tensor, "batch classes"]:
        """Return what the model says."""
        return logits_at(self.model, images)

    def mine(self) -> Int[Tensor, " own"]:
        """Return the images that are this process's."""
        return self.own(torch.arange(len(self.dataset), device=self.device))

    def own(self, images: Int[Tensor, " n"]) -> Int[Tensor, " own"]:
        """Return those of some images that are this process's."""
        return images[images % self.processes.count == self.processes.rank]

    def full(self, batch: Int[Tensor, " n"]) -> Int[Tensor, " slots"]:
        """Return a batch filled up with its own first images: all passes are of one size."""
        return batch.repeat(math.ceil(self.slots / len(batch)))[: self.slots]

    def parts(
        self, images: Int[Tensor, " n"], noise: Callable[[Int[Tensor, " part"]], T]
    ) -> Iterator[tuple[Int[Tensor, " part"], Num[Tensor, "part channels height width"], T]]:
        """Yield positions, images as the data set has them, and noise, in as few parts as the device bears."""
        source = self.dataset.images
        each = math.prod(source.shape[1:]) * (source.dtype.itemsize + torch.float32.itemsize)
        room = min(_PART, available(self.device) // 8) // each
        parts = torch.split(images, max(self.slots, room)) if len(images) else ()
        for part, pixels in zip(parts, self._raw(parts), strict=True):
            yield part, pixels, noise(part)

    def brought(self, groups: Iterable[Int[Tensor, " _"]]) -> Iterator[Images]:
        """Yield the images of each group, in [0, 1] and on the device; those in files are decoded ahead."""
        yield from map(to_unit, self._raw(groups))

    def _raw(self, groups: Iterable[Int[Tensor, " _"]]) -> Iterator[Num[Tensor, "_ channels height width"]]:
        source = self.dataset.images
        tasks = (partial(source.__getitem__, group.to(source.device)) for group in groups)
        for images in ahead(tasks) if self.dataset.streamed else (task() for task in tasks):
            yield images.to(self.device)

"""The batches of a run: keyed by epoch and step, so that one that goes on gets those that it would have got."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from srat.data.augmentation import Augmentation
from srat.data.base import Dataset, to_unit
from srat.data.batches import epoch_batches
from srat.processes import ALONE, Processes
from srat.random import generator


class Batch(NamedTuple):
    """The examples of a step; of several processes, each has its own images, and all labels."""

    images: Float[Tensor, "own channels height width"]
    """Augmented, in [0, 1]."""
    labels: Int[Tensor, " batch"]
    """Of the whole batch."""
    own: slice
    """Which of the batch the images are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Feed:
    """Batches of images that lie on the device.

    Args:
        dataset: the images, on the device.
        augmentation: what is done to them.
        batch_size: the largest batch, over all processes.
        seed: of order and augmentation.
        processes: whose images are which.
    """

    dataset: Dataset
    augmentation: Augmentation
    batch_size: int
    seed: int
    processes: Processes = ALONE

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from step ``first`` on."""
        for step, indices in enumerate(self.order(epoch)[first:], start=first):
            yield self.batch(indices, self.augmenting(epoch, step))

    def order(self, epoch: int) -> tuple[Int[Tensor, " batch"], ...]:
        """Return the examples of each batch of an epoch."""
        order = generator(self.seed, "order", epoch=epoch)
        return epoch_batches(len(self.dataset), self.batch_size, generator=order, device=self.dataset.labels.device)

    def augmenting(self, epoch: int, step: int) -> torch.Generator:
        """Return the source of a step's augmentation."""
        rank, device = self.processes.rank, self.dataset.labels.device
        return generator(self.seed, "augment", epoch=epoch, step=step, rank=rank, device=device)

    def batch(self, indices: Int[Tensor, " batch"], rng: torch.Generator) -> Batch:
        """Return the batch of these examples."""
        own = self.processes.share(len(indices))
        images = self.augmentation(to_unit(self.dataset.images[indices[own]]), generator=rng)
        return Batch(images, self.dataset.labels[indices], own)

"""The batches of a run: keyed by epoch and step, so that one that goes on gets those that it would have got."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from srat.core.keyed_random import generator
from srat.data.augmentation import Augmentation
from srat.data.dataset import Dataset
from srat.data.pixels import to_unit
from srat.data.sampling import Sampling
from srat.runtime.processes import ALONE, Processes

T = TypeVar("T")
_AHEAD = 3
"""Batches that are made ready while the model computes."""


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
    """The batches of a data set; images that do not lie on the device are brought there ahead of time.

    Args:
        dataset: images and labels; the labels lie on the device.
        augmentation: what is done to the images, where they lie.
        sampling: which examples an epoch draws.
        batch_size: the largest batch, over all processes.
        epochs: of the run.
        seed: of order and augmentation.
        processes: whose images are which.
    """

    dataset: Dataset
    augmentation: Augmentation
    sampling: Sampling
    batch_size: int
    epochs: int
    seed: int
    processes: Processes = ALONE

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return count_batches(len(self.dataset), self.batch_size)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from step ``first`` on."""
        order = self.order(epoch)[first:]
        tasks = (
            partial(self.images, indices, self.augmenting(epoch, step))
            for step, indices in enumerate(order, start=first)
        )
        made = ahead(tasks) if self.dataset.streamed else (task() for task in tasks)
        for indices, images in zip(order, made, strict=True):
            yield self._batch(indices, images)

    def order(self, epoch: int) -> tuple[Int[Tensor, " batch"], ...]:
        """Return the examples of each batch of an epoch, on the device that the images are taken from."""
        rng = generator(self.seed, "order", epoch=epoch)
        order = self.sampling.order(self._labels, epoch=epoch, epochs=self.epochs, generator=rng)
        return order.to(self.dataset.images.device).tensor_split(self.steps)

    @cached_property
    def _labels(self) -> Int[Tensor, " n"]:
        """On the CPU, once: to fetch them is to wait for the device."""
        return self.dataset.labels.cpu()

    def augmenting(self, epoch: int, step: int) -> torch.Generator:
        """Return the source of a step's augmentation."""
        return generator(self.seed, "augment", epoch=epoch, step=step, rank=self.processes.rank)

    def batch(self, indices: Int[Tensor, " batch"], rng: torch.Generator) -> Batch:
        """Return the batch of these examples, on the device of the labels."""
        return self._batch(indices, self.images(indices, rng))

    def images(self, indices: Int[Tensor, " batch"], rng: torch.Generator) -> Num[Tensor, "own channels height width"]:
        """Return this process's images of a batch, augmented, as and where those of the data set are."""
        images = self.augmentation(self.dataset.images[indices[self._own(indices)]], generator=rng)
        return images.pin_memory() if self.dataset.labels.is_cuda and not images.is_cuda else images

    def _batch(self, indices: Int[Tensor, " batch"], images: Num[Tensor, "own channels height width"]) -> Batch:
        device = self.dataset.labels.device
        labels = self.dataset.labels[indices.to(device, non_blocking=True)]
        return Batch(to_unit(images.to(device, non_blocking=True)), labels, self._own(indices))

    def _own(self, indices: Int[Tensor, " batch"]) -> slice:
        return self.processes.share(len(indices))


def ahead(tasks: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Yield what the tasks return, in their order, the next ones under way meanwhile in a thread of their own."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(1) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(task))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def smallest_batch(n: int, batch_size: int) -> int:
    """Return how many examples the smallest batch of an epoch has.

    Args:
        n: number of examples.
        batch_size: the largest size of a batch.
    """
    return n // count_batches(n, batch_size)


def count_batches(n: int, batch_size: int) -> int:
    """Return how many batches an epoch has, ⌈n / batch_size⌉."""
    return math.ceil(n / batch_size)

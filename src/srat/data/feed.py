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
from srat.data.mixing import Mix, Mixing, NoMixing
from srat.data.pixels import to_unit
from srat.data.sampling import Sampling
from srat.data.targets import Targets
from srat.runtime.processes import ALONE, Processes

T = TypeVar("T")
Images = Num[Tensor, "n channels height width"]
_Made = tuple[Images, Mix | None]
_AHEAD = 3
"""Batches that are made ready while the model computes."""


class Batch(NamedTuple):
    """The examples of a step; of several processes, each has its own images, and all targets."""

    images: Float[Tensor, "own channels height width"]
    """Augmented and mixed, in [0, 1]."""
    targets: Targets
    """Of the whole batch."""
    own: slice
    """Which of the batch the images are."""

    @property
    def labels(self) -> Int[Tensor, " batch"]:
        """The classes of the whole batch's images, whatever they are mixed with."""
        return self.targets.labels

    @property
    def own_targets(self) -> Targets:
        """The targets of this process's images."""
        return self.targets.at(self.own)


@dataclass(frozen=True, kw_only=True, eq=False)
class Feed:
    """The batches of a data set; images that do not lie on the device are brought there ahead of time.

    Args:
        dataset: images and labels; the labels lie on the device.
        augmentation: what is done to the images, where they lie.
        sampling: which examples an epoch draws.
        batch_size: the largest batch, over all processes.
        epochs: of the run.
        seed: of order, augmentation and mixing.
        mixing: which of a batch's images are mixed with which, once they are augmented.
        processes: whose images are which.
    """

    dataset: Dataset
    augmentation: Augmentation
    sampling: Sampling
    batch_size: int
    epochs: int
    seed: int
    mixing: Mixing = NoMixing()
    processes: Processes = ALONE

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return count_batches(len(self.dataset), self.batch_size)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from step ``first`` on."""
        order = self.order(epoch)[first:]
        tasks = (
            partial(self._made, indices, self.augmenting(epoch, step), self.pairing(epoch, step))
            for step, indices in enumerate(order, start=first)
        )
        made = ahead(tasks) if self.dataset.streamed else (task() for task in tasks)
        for indices, (images, mix) in zip(order, made, strict=True):
            yield self._batch(indices, images, mix)

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

    def pairing(self, epoch: int, step: int) -> torch.Generator:
        """Return the source of how a step's images are mixed, the same in all processes."""
        return generator(self.seed, "mix", epoch=epoch, step=step)

    def batch(
        self, indices: Int[Tensor, " batch"], rng: torch.Generator, pairing: torch.Generator | None = None
    ) -> Batch:
        """Return the batch of these examples, on the device of the labels.

        Args:
            indices: the examples.
            rng: the source of their augmentation.
            pairing: the source of how they are mixed; that of the run's first step unless given.
        """
        return self._batch(indices, *self._made(indices, rng, pairing or self.pairing(0, 0)))

    def _made(self, indices: Int[Tensor, " batch"], rng: torch.Generator, pairing: torch.Generator) -> _Made:
        """Return this process's images of a batch, augmented, as and where those of the data set are; and the mix.

        Where images of other processes, or beside the batch, are mixed with them, these follow.
        """
        height, width = self.dataset.images.shape[2:]
        mix = self.mixing.draw(len(indices), height, width, labels=self._labels, generator=pairing)
        taken = indices[self._own(indices)]
        if mix is not None:
            others, _ = apart(mix.partners, self._own(indices))
            taken = torch.cat((taken, with_added(indices, mix)[others.to(indices.device, non_blocking=True)]))
        images = self.augmentation(self.dataset.images[taken], generator=rng)
        return images.pin_memory() if self.dataset.labels.is_cuda and not images.is_cuda else images, mix

    def _batch(self, indices: Int[Tensor, " batch"], made: Images, mix: Mix | None) -> Batch:
        device, own = self.dataset.labels.device, self._own(indices)
        labels = self.dataset.labels[with_added(indices, mix).to(device, non_blocking=True)]
        images = to_unit(made.to(device, non_blocking=True))
        if mix is None:
            return Batch(images, Targets(labels), own)
        partners, rows = (each.to(device, non_blocking=True) for each in (mix.partners, apart(mix.partners, own)[1]))
        mixed = mix.blend(images[: own.stop - own.start], images[rows])
        return Batch(mixed, Targets(labels[: len(indices)], labels[partners], mix.share), own)

    def _own(self, indices: Int[Tensor, " batch"]) -> slice:
        return self.processes.share(len(indices))


def with_added(indices: Int[Tensor, " batch"], mix: Mix | None) -> Int[Tensor, " all"]:
    """Return the examples of a batch, and behind them those that a mix adds to it."""
    if mix is None or mix.added is None:
        return indices
    return torch.cat((indices, mix.added.to(indices.device, non_blocking=True)))


def apart(partners: Int[Tensor, " batch"], own: slice) -> tuple[Int[Tensor, " others"], Int[Tensor, " own"]]:
    """Return the places of partners that are not a process's own, and the row of each partner in own and those.

    Args:
        partners: the place in the batch of what each image is mixed with.
        own: which of the batch are the process's.
    """
    ours = partners[own]
    other = (ours < own.start) | (ours >= own.stop)
    return ours[other], torch.where(other, len(ours) - 1 + other.cumsum(0), ours - own.start)


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

"""What becomes of each image under an attack; what is broken is not attacked any further."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn

from srat.attacks import (
    AnyAttack,
    Attack,
    IterativeAttack,
    LossAt,
    Natural,
    ReferenceAttack,
    input_gradient,
    started,
    within,
)
from srat.data import Dataset, to_unit
from srat.data.feed import ahead
from srat.losses import cross_entropy
from srat.machine import available
from srat.models import logits_of
from srat.observer import Observer
from srat.processes import ALONE, Processes
from srat.random import generator

T = TypeVar("T")
Images = Float[Tensor, "batch channels height width"]
NEVER = -1
"""When an image breaks that nothing has broken."""
_PART = 1 << 30
"""Bytes of images and their noise that lie on the device at once."""


class Outcome(NamedTuple):
    """What became of each of some images."""

    broken_at: Int[Tensor, " n"]
    """0: wrong as it is; k > 0: wrong at the k-th point of the attack, its starts included; −1: never."""
    predicted: Int[Tensor, " n"]
    """The class that the model gave it there (any, if its logits were no numbers); the true one if it never broke."""

    @property
    def survived(self) -> Bool[Tensor, " n"]:
        """Which images nothing has broken."""
        return self.broken_at == NEVER

    def updated(self, positions: Int[Tensor, " some"], later: "Outcome") -> "Outcome":
        """Return the outcome with that of some images put in."""
        return Outcome(*(mine.index_copy(0, positions, new) for mine, new in zip(self, later, strict=True)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A model, in eval mode, before a data set on its device.

    Args:
        model: images in [0, 1] → logits, or an output that has them.
        dataset: the images.
        seed: of the attacks' randomness; every image has its own.
        batch_size: images in each pass.
        observer: told of each image that this process is done with.
        processes: those that share the images.
    """

    model: nn.Module
    dataset: Dataset
    seed: int
    batch_size: int
    observer: Observer
    processes: Processes = ALONE

    @property
    def device(self) -> torch.device:
        """Where the labels lie, and where the model computes."""
        return self.dataset.labels.device

    @property
    def slots(self) -> int:
        """Images in every pass: kernels, and with them the rounding of an image's logits, depend on it."""
        return min(self.batch_size, len(self.dataset))

    def logits(self, images: Images) -> Float[Tensor, "batch classes"]:
        """Return what the model says."""
        return logits_of(self.model(images))

    def loss_at(self, attack: Attack, labels: Int[Tensor, " batch"]) -> LossAt:
        """Return what an attack maximises."""
        return lambda images: attack.loss(cross_entropy, self.logits(images), labels)

    def mine(self) -> Int[Tensor, " own"]:
        """Return the images that are this process's."""
        return torch.arange(self.processes.rank, len(self.dataset), self.processes.count, device=self.device)

    def full_batches(self, indices: Int[Tensor, " n"]) -> Iterator[tuple[Images, Int[Tensor, " batch"]]]:
        """Yield images and labels in batches of one size, the last filled up with what comes first."""
        if len(indices) == 0:
            return
        filled = math.ceil(len(indices) / self.slots) * self.slots
        batches = torch.split(indices.repeat(math.ceil(filled / len(indices)))[:filled], self.slots)
        for batch, images in zip(batches, self._brought(batches), strict=True):
            yield to_unit(images), self.dataset.labels[batch]

    def parts(
        self, indices: Int[Tensor, " n"], noise: Callable[[Int[Tensor, " part"]], T]
    ) -> Iterator[tuple[Num[Tensor, "part channels height width"], Int[Tensor, " part"], T]]:
        """Yield images as the data set has them, labels, and noise, in as few parts as the device bears."""
        source = self.dataset.images
        each = math.prod(source.shape[1:]) * (source.dtype.itemsize + torch.float32.itemsize)
        room = min(_PART, available(self.device) // 8) // each
        parts = torch.split(indices, max(self.slots, room)) if len(indices) else ()
        for part, images in zip(parts, self._brought(parts), strict=True):
            yield images, self.dataset.labels[part], noise(part)

    def images(self, indices: Int[Tensor, " n"]) -> Images:
        """Return images in [0, 1], on the device."""
        return to_unit(next(self._brought([indices])))

    def _brought(self, groups: Iterable[Int[Tensor, " _"]]) -> Iterator[Num[Tensor, "_ channels height width"]]:
        """Yield the images of each group, on the device; those in files are decoded ahead."""
        source = self.dataset.images
        tasks = (partial(source.__getitem__, group.to(source.device)) for group in groups)
        for images in ahead(tasks) if self.dataset.streamed else (task() for task in tasks):
            yield images.to(self.device)


def right(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
    """Return which logits are right; NaN would count as a vote for class 0, and so counts as wrong."""
    return (logits.argmax(dim=1) == labels) & logits.isfinite().all(dim=1)


def outcome(trial: Trial, attack: AnyAttack) -> Outcome:
    """Return when each image of the data set breaks: as it is, or at one of the points that the attack comes to.

    Args:
        trial: model and images.
        attack: the attack; ``Natural()`` leaves the images as they are.
    """
    indices = trial.mine()
    clean = _looked_at(trial, indices, Natural())
    standing = clean.survived.nonzero().flatten()
    left = 0 if isinstance(attack, Natural) else len(standing)
    trial.observer.step(len(indices) - left)
    if isinstance(attack, ReferenceAttack):
        return _searched(trial, _shared(trial, clean), attack)
    if isinstance(attack, IterativeAttack):
        clean = clean.updated(standing, _iterated(trial, indices[standing], attack))
    elif left:
        clean = clean.updated(standing, _looked_at(trial, indices[standing], attack))
    return _shared(trial, clean)


def _shared(trial: Trial, own: Outcome) -> Outcome:
    """Return the outcome of all images, of which each process knows that of its own."""
    whole = [tensor.new_zeros(len(trial.dataset)).index_copy(0, trial.mine(), tensor) for tensor in own]
    return Outcome(*map(trial.processes.sum, whole))


def _searched(trial: Trial, clean: Outcome, attack: ReferenceAttack) -> Outcome:
    """Return which stage of an attack breaks each image; whole batches go to one process or another.

    The reference draws for a batch what it draws for any: its batches are kept, down to the small one at the end.
    """
    result, processes, stages = clean, trial.processes, attack.stages
    for number, stage in enumerate(stages, start=1):
        standing = result.survived.nonzero().flatten()
        batches = torch.split(standing, trial.batch_size)[processes.rank :: processes.count] if len(standing) else ()
        # What a process knows of others' images is nothing, so that the sum is what is known.
        found = [torch.zeros_like(column) for column in result]
        for batch in batches:
            tried = _tried(trial, batch, stage, number)
            for column, mine in zip(found, tried, strict=True):
                column[batch] = mine
            trial.observer.step(len(batch) if number == len(stages) else int((~tried.survived).sum()))
        together = Outcome(*(processes.sum(column)[standing] for column in found))
        result = result.updated(standing, together)
    return result


def _tried(trial: Trial, batch: Int[Tensor, " batch"], stage: ReferenceAttack, number: int) -> Outcome:
    """Return which images of a batch a stage breaks, within its budget."""
    images, labels = trial.images(batch), trial.dataset.labels[batch]
    classes = len(trial.dataset.class_names)
    adversarial = stage(trial.logits, images, labels, classes=classes, seed=trial.seed)
    with torch.no_grad():
        logits = trial.logits(adversarial)
    broken = ~right(logits, labels) & within(adversarial, images, norm=stage.norm, epsilon=stage.epsilon)
    return Outcome(torch.where(broken, number, NEVER), torch.where(broken, logits.argmax(dim=1), labels))


def _looked_at(trial: Trial, indices: Int[Tensor, " n"], attack: Attack) -> Outcome:
    """Return which images are wrong where an attack leaves them, point 0 without one and 1 with one."""
    point = 0 if isinstance(attack, Natural) else 1
    broken, said = [], []
    for number, (images, labels) in enumerate(trial.full_batches(indices)):
        rng = generator(trial.seed, f"evaluation/{attack.label}", step=number, device=trial.device)
        images = attack.perturb(trial.loss_at(attack, labels), images, generator=rng)
        with torch.no_grad():
            logits = trial.logits(images)
        broken.append(torch.where(right(logits, labels), NEVER, point))
        said.append(logits.argmax(dim=1))
        trial.observer.step(point * min(trial.slots, len(indices) - number * trial.slots))
    return Outcome(*(torch.cat([indices[:0], *each])[: len(indices)] for each in (broken, said)))


def _iterated(trial: Trial, indices: Int[Tensor, " n"], attack: IterativeAttack) -> Outcome:
    """Return at which point each image breaks, from one start after the other."""
    labels = trial.dataset.labels[indices]
    result = Outcome(torch.full_like(labels, NEVER), labels)
    standing = torch.arange(len(indices), device=labels.device)
    for start in range(attack.starts):
        first, last = start * (attack.iterations + 1) + 1, start + 1 == attack.starts
        parts = trial.parts(indices[standing], partial(_noise, trial, attack, start))
        found = [_Pool(trial, attack, *part, first=first, last=last).run() for part in parts]
        if not found:
            break
        together = Outcome(*(torch.cat(column) for column in zip(*found, strict=True)))
        result = result.updated(standing, together)
        standing = standing[together.survived]
    return result


def _noise(trial: Trial, attack: IterativeAttack, start: int, indices: Int[Tensor, " part"]) -> Images | None:
    """Return what each image has for itself; drawn on the CPU, it is the same on every device."""
    purpose, shape = f"evaluation/{attack.name}", (1, *trial.dataset.images.shape[1:])
    noises = (
        attack.noise(shape, generator=generator(trial.seed, purpose, epoch=start, step=example))
        for example in indices.tolist()
    )
    drawn = [noise for noise in noises if noise is not None]
    return torch.cat(drawn).to(trial.device) if drawn else None


def passes_between_looks(device: torch.device) -> int:
    """Return how often to ask a device whether all is done: it has to be waited for, unless it is the CPU."""
    return 1 if device.type == "cpu" else 8


class _Pool:
    """Slots of a batch that is always full: an image leaves when it is broken or has been through all, the next comes.

    Every image takes the same steps from the same start as it would in any other company. All decisions are made on
    the device.

    Args:
        trial: the model.
        attack: the attack.
        images: the queue, as the data set has them.
        labels: theirs.
        noise: what each begins with, if the attack begins with noise.
        first: the number of the first point.
        last: whether those who survive are done with.
    """

    def __init__(
        self,
        trial: Trial,
        attack: IterativeAttack,
        images: Num[Tensor, "n channels height width"],
        labels: Int[Tensor, " n"],
        noise: Images | None,
        *,
        first: int,
        last: bool,
    ) -> None:
        self._trial, self._attack, self._first, self._last = trial, attack, first, last
        self._queue, self._noise = images, noise
        self._n = len(labels)
        # A row more, where what is written for an idle slot goes.
        self._labels = torch.cat((labels, labels[:1]))
        self._broken_at, self._predicted = torch.full_like(self._labels, NEVER), self._labels.clone()
        slots = torch.arange(trial.slots, device=trial.device)
        self._occupant, self._next = slots.clamp(max=self._n), slots.new_tensor(min(trial.slots, self._n))
        self._step = torch.zeros_like(slots)
        self._images = self._loaded()
        self._adversarial = self._started()

    def run(self) -> Outcome:
        """Return what became of the queue."""
        every = passes_between_looks(self._trial.device)
        left, told = self._n, 0
        while left:
            for _ in range(every):
                self._advance()
            left, broken = self._standing()
            done = self._n - left if self._last else broken
            self._trial.observer.step(done - told)
            told = done
        return Outcome(self._broken_at[:-1], self._predicted[:-1])

    def _standing(self) -> tuple[int, int]:
        """Return how many are not through yet, and how many are broken; the device is waited for."""
        waiting = self._n - self._next + (self._occupant < self._n).sum()
        left, broken = torch.stack((waiting, (self._broken_at[:-1] != NEVER).sum())).tolist()
        return left, broken

    def _advance(self) -> None:
        """Look at every slot once and move it on."""
        labels = self._labels[self._occupant]
        seen: list[Tensor] = []

        def loss_at(images: Images) -> Float[Tensor, " batch"]:
            logits = self._trial.logits(images)
            seen.append(logits.detach())
            return self._attack.loss(cross_entropy, logits, labels)

        gradient = input_gradient(loss_at, self._adversarial)
        broken = ~right(seen[0], labels)
        self._note(broken, seen[0].argmax(dim=1))
        free = broken | (self._step == self._attack.iterations)
        moved = self._attack.step(self._adversarial, gradient, self._images)
        self._step = torch.where(free, 0, self._step + 1)
        self._admit(free)
        self._images = torch.where(free[:, None, None, None], self._loaded(), self._images)
        self._adversarial = torch.where(free[:, None, None, None], self._started(), moved)

    def _note(self, broken: Bool[Tensor, " slots"], predicted: Int[Tensor, " slots"]) -> None:
        """Write down which images are broken, at which point, and what they were taken for."""
        written = torch.where(broken, self._occupant, self._n)
        self._broken_at.index_copy_(0, written, self._first + self._step)
        self._predicted.index_copy_(0, written, predicted)

    def _admit(self, free: Bool[Tensor, " slots"]) -> None:
        """Give free slots to those who wait; without any, a slot stays idle."""
        admitted = (self._next + free.cumsum(dim=0) - 1).clamp(max=self._n)
        self._occupant = torch.where(free, admitted, self._occupant)
        self._next = (self._next + free.sum()).clamp(max=self._n)

    def _loaded(self) -> Images:
        """Return the untouched image of each slot's occupant."""
        return to_unit(self._queue[self._occupant.clamp(max=self._n - 1)])

    def _started(self) -> Images:
        """Return the point at which each slot's occupant begins."""
        noise = None if self._noise is None else self._noise[self._occupant.clamp(max=self._n - 1)]
        return started(self._images, noise)

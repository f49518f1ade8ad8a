"""What becomes of each image under an attack; what is broken is not attacked any further."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn

from srat.attacks import AnyAttack, Attack, IterativeAttack, Natural, ReferenceAttack, input_gradient, started, within
from srat.core.keyed_random import generator
from srat.data import Dataset, to_unit
from srat.data.feed import ahead
from srat.evaluation.journal import Journal, Progress
from srat.evaluation.observer import Observer
from srat.evaluation.outcome import NEVER, Outcome
from srat.evaluation.serving import last_points, right
from srat.losses.cross_entropy_loss import entropy_of
from srat.models import logits_at
from srat.runtime.machine import available
from srat.runtime.processes import ALONE, Processes

T = TypeVar("T")
Images = Float[Tensor, "batch channels height width"]
_UNDECIDED = -2
"""When an image breaks that is not through with a round."""
_PART = 1 << 30
"""Bytes of images and their noise that lie on the device at once."""


Found = tuple[Int[Tensor, " some"], Outcome]
"""Some images, as positions in the data set, and what has become of them."""
Round = Callable[[Progress], Iterator[Found]]
"""One go at the images that still stand: yields those that it is through with, once for each."""


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


def outcome(trial: Trial, attack: AnyAttack, journal: Journal | None = None) -> Outcome:
    """Return when each image of the data set breaks: as it is, or at one of the points that the attack comes to.

    Args:
        trial: model and images.
        attack: the attack; ``Natural()`` leaves the images as they are.
        journal: keeps the progress, and gives it back at the start; by default none is kept.
    """
    journal, processes, searches = journal or Journal(), trial.processes, rounds(trial, attack)
    # One process reads: others may see other files, and all have to make the same batches.
    begun = processes.told(journal.read() if processes.first else None)
    fresh = Progress.none(trial.dataset.labels)
    known = begun is not None and begun.plausible(rounds=len(searches), classes=len(trial.dataset.class_names))
    progress = begun.to(trial.device) if begun is not None and known else fresh
    trial.observer.images_done(int(progress.at(trial.mine()).through(len(searches)).sum()))
    for number, search in enumerate(searches):
        before = progress
        try:
            for images, found in search(before):
                progress = progress.noted(images, number, found)
                journal.tick(progress)
                trial.observer.images_done(int(progress.at(images).through(len(searches)).sum()))
            # Each process knows what it has changed.
            changes = (processes.sum(new - old) for old, new in zip(before, progress, strict=True))
            progress = Progress(*(old + change for old, change in zip(before, changes, strict=True)))
        except BaseException:  # a signal, or the loss of another process
            journal.write(progress)
            raise
    return progress.outcome


def rounds(trial: Trial, attack: AnyAttack) -> Sequence[Round]:
    """Return the look at the untouched images, and then what an attack does, one after the other."""
    clean = partial(_looked_at, trial, Natural(), 0)
    if isinstance(attack, Natural):
        return (clean,)
    if isinstance(attack, ReferenceAttack):
        return clean, *(partial(_searched, trial, stage, number) for number, stage in enumerate(attack.stages, start=1))
    if isinstance(attack, IterativeAttack):
        return clean, *(partial(_iterated, trial, attack, number) for number in range(1, attack.starts + 1))
    return clean, partial(_looked_at, trial, attack, 1)


def _searched(trial: Trial, stage: ReferenceAttack, number: int, progress: Progress) -> Iterator[Found]:
    """Try a stage of an attack; whole batches go to one process or another.

    The reference draws for a batch what it draws for any: its batches are kept, down to the small one at the end.
    """
    batches = torch.split(progress.standing(number), trial.batch_size)
    left = [batch for batch in batches if bool(progress.at(batch).waiting(number).any())]
    for batch in left[trial.processes.rank :: trial.processes.count]:
        images, labels = next(trial.brought([batch])), trial.dataset.labels[batch]
        classes = len(trial.dataset.class_names)
        adversarial = stage.perturb(trial.logits, images, labels, classes=classes, seed=trial.seed)
        with torch.no_grad():
            logits = trial.logits(adversarial)
        broken = ~right(logits, labels) & within(adversarial, images, norm=stage.norm, epsilon=stage.epsilon)
        yield batch, broken_or_not(broken, number, logits, labels)


def _looked_at(trial: Trial, attack: Attack, number: int, progress: Progress) -> Iterator[Found]:
    """Look where an attack without steps leaves the images, in batches of one size."""
    own = trial.own(progress.standing(number))
    numbered = [
        (position, batch)
        for position, batch in enumerate(torch.split(own, trial.slots))
        if bool(progress.at(batch).waiting(number).any())
    ]
    batches = [batch for _, batch in numbered]
    for (position, batch), images in zip(numbered, trial.brought(map(trial.full, batches)), strict=True):
        labels = trial.dataset.labels[trial.full(batch)]
        rng = generator(trial.seed, f"evaluation/{attack.label}", step=position, device=trial.device)
        adversarial = last_points(trial.model, images, labels, attack, generator=rng)
        with torch.no_grad():
            logits = trial.logits(adversarial)[: len(batch)]
        labels = labels[: len(batch)]
        yield batch, broken_or_not(~right(logits, labels), number, logits, labels)


def _iterated(trial: Trial, attack: IterativeAttack, number: int, progress: Progress) -> Iterator[Found]:
    """Move the images step by step, from one start."""
    own = trial.own(progress.waiting(number).nonzero().flatten())
    start, first = number - 1, (number - 1) * (attack.iterations + 1) + 1
    for part, images, noise in trial.parts(own, partial(_noise, trial, attack, start)):
        pool = _Pool(trial, attack, images, trial.dataset.labels[part], noise, first=first)
        for positions, found in pool.run():
            yield part[positions], found


def broken_or_not(
    broken: Bool[Tensor, " batch"],
    point: int | Int[Tensor, " batch"],
    logits: Float[Tensor, "batch classes"],
    labels: Int[Tensor, " batch"],
) -> Outcome:
    """Return the outcome of images of which some are broken at a point."""
    return Outcome(torch.where(broken, point, NEVER), torch.where(broken, logits.argmax(dim=1), labels))


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
    ) -> None:
        self._trial, self._attack, self._first = trial, attack, first
        self._queue, self._noise = images, noise
        self._n = len(labels)
        # A row more, where what is written for an idle slot goes.
        self._labels = torch.cat((labels, labels[:1]))
        self._broken_at, self._predicted = torch.full_like(self._labels, _UNDECIDED), self._labels.clone()
        slots = torch.arange(trial.slots, device=trial.device)
        self._occupant, self._next = slots.clamp(max=self._n), slots.new_tensor(min(trial.slots, self._n))
        self._step = torch.zeros_like(slots)
        self._images = self._loaded()
        self._adversarial = self._started()

    def run(self) -> Iterator[Found]:
        """Yield which of the queue are through since the last time, and what became of them."""
        undecided = torch.ones_like(self._labels[:-1], dtype=torch.bool)
        left = self._n
        while left:
            for _ in range(passes_between_looks(self._trial.device)):
                self._advance()
            # The device is waited for here, and nowhere else.
            through = (undecided & (self._broken_at[:-1] != _UNDECIDED)).nonzero().flatten()
            undecided[through] = False
            left -= len(through)
            yield through, Outcome(self._broken_at[through], self._predicted[through])

    def _advance(self) -> None:
        """Look at every slot once and move it on."""
        labels = self._labels[self._occupant]
        seen: list[Tensor] = []

        def loss_at(images: Images) -> Float[Tensor, " batch"]:
            logits = self._trial.logits(images)
            seen.append(logits.detach())
            return self._attack.loss(entropy_of, logits, labels)

        gradient = input_gradient(loss_at, self._adversarial)
        broken = ~right(seen[0], labels)
        free = broken | (self._step == self._attack.iterations)
        self._note(free, broken_or_not(broken, self._first + self._step, seen[0], labels))
        moved = self._attack.step(self._adversarial, gradient, self._images)
        self._step = torch.where(free, 0, self._step + 1)
        self._admit(free)
        self._images = torch.where(free[:, None, None, None], self._loaded(), self._images)
        self._adversarial = torch.where(free[:, None, None, None], self._started(), moved)

    def _note(self, through: Bool[Tensor, " slots"], found: Outcome) -> None:
        """Write down what became of the occupants that are through."""
        written = torch.where(through, self._occupant, self._n)
        self._broken_at.index_copy_(0, written, found.broken_at)
        self._predicted.index_copy_(0, written, found.predicted)

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

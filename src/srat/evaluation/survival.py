"""Which images a model gets right whatever an attack does; what is broken is not attacked any further."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from srat.attacks import Attack, IterativeAttack, LossAt, Natural, input_gradient, started
from srat.data import Dataset
from srat.losses import cross_entropy
from srat.models import logits_of
from srat.observer import Observer
from srat.random import generator

Images = Float[Tensor, "batch channels height width"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A model, in eval mode, before a data set on its device.

    Args:
        model: images in [0, 1] → logits, or an output that has them.
        dataset: the images.
        seed: of the attacks' randomness; every image has its own.
        batch_size: images in each pass.
        observer: told of each image that is done with.
    """

    model: nn.Module
    dataset: Dataset
    seed: int
    batch_size: int
    observer: Observer

    def logits(self, images: Images) -> Float[Tensor, "batch classes"]:
        """Return what the model says."""
        return logits_of(self.model(images))

    def loss_at(self, labels: Int[Tensor, " batch"]) -> LossAt:
        """Return what attacks maximise."""
        return lambda images: cross_entropy(self.logits(images), labels)

    def load(self, indices: Int[Tensor, " batch"]) -> tuple[Images, Int[Tensor, " batch"]]:
        """Return images in [0, 1] and labels."""
        labels = self.dataset.labels[indices]
        return self.dataset.take(indices).to(labels.device), labels

    def full_batches(self, indices: Int[Tensor, " n"]) -> Iterator[Int[Tensor, " batch"]]:
        """Yield the indices in batches of one size, the last filled up with what comes first.

        Kernels, and with them the rounding of an image's logits, depend on the size of the batch that it is in.
        """
        if len(indices) == 0:
            return
        size = min(self.batch_size, len(self.dataset))
        filled = math.ceil(len(indices) / size) * size
        yield from indices.repeat(math.ceil(filled / len(indices)))[:filled].reshape(-1, size)


def right(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
    """Return which logits are right; NaN would count as a vote for class 0, and so counts as wrong."""
    return (logits.argmax(dim=1) == labels) & logits.isfinite().all(dim=1)


def survivors(trial: Trial, indices: Int[Tensor, " n"], attack: Attack) -> Int[Tensor, " survivors"]:
    """Return those images that the model gets right as they are and at every point that the attack comes to.

    Args:
        trial: model and images.
        indices: the images to try.
        attack: the attack; ``Natural()`` leaves the images as they are.
    """
    clean = _unbroken(trial, indices, Natural())
    if isinstance(attack, Natural):
        trial.observer.step(len(indices))
        return clean
    trial.observer.step(len(indices) - len(clean))
    if isinstance(attack, IterativeAttack):
        return _Pool(trial, attack, clean).run()
    kept = _unbroken(trial, clean, attack)
    trial.observer.step(len(clean))
    return kept


def _unbroken(trial: Trial, indices: Int[Tensor, " n"], attack: Attack) -> Int[Tensor, " unbroken"]:
    kept = []
    for number, batch in enumerate(trial.full_batches(indices)):
        images, labels = trial.load(batch)
        rng = generator(trial.seed, f"evaluation/{attack.label}", step=number, device=images.device)
        images = attack.perturb(trial.loss_at(labels), images, generator=rng)
        with torch.no_grad():
            kept.append(right(trial.logits(images), labels))
        trial.observer.step(0)
    return indices[torch.cat(kept)[: len(indices)]] if kept else indices


class _Pool:
    """Slots of a batch that is always full: an image leaves when it is broken or has been through all, the next comes.

    Every image takes the same steps from the same starts as it would in any other company.
    """

    def __init__(self, trial: Trial, attack: IterativeAttack, indices: Int[Tensor, " n"]) -> None:
        self._trial, self._attack, self._indices = trial, attack, indices
        self._waiting = iter(indices.tolist())

    def run(self) -> Int[Tensor, " survivors"]:
        """Return the images that nothing has broken."""
        first = next(self._trial.full_batches(self._indices), None)
        if first is None:
            return self._indices
        self._images, self._labels = self._trial.load(first)
        self._adversarial = self._images.clone()
        slots = len(first)
        self._occupant: list[int | None] = [None] * slots
        self._start, self._step = [0] * slots, [0] * slots
        self._admit(list(range(slots)))
        survived: list[int] = []
        while any(occupant is not None for occupant in self._occupant):
            survived += self._advance()
            self._trial.observer.step(0)
        return torch.tensor(sorted(survived), dtype=torch.long, device=self._indices.device)

    def _advance(self) -> list[int]:
        """Look at every slot once and move it on; return the images that have been through all."""
        seen: list[Tensor] = []

        def loss_at(images: Images) -> Float[Tensor, " batch"]:
            logits = self._trial.logits(images)
            seen.append(right(logits.detach(), self._labels))
            return cross_entropy(logits, self._labels)

        gradient = input_gradient(loss_at, self._adversarial)
        unbroken = seen[0].tolist()
        survived, free, again = [], [], []
        for slot, occupant in enumerate(self._occupant):
            if occupant is None:
                continue
            if not unbroken[slot]:
                free.append(slot)
            elif self._step[slot] < self._attack.iterations:
                self._step[slot] += 1
            elif self._start[slot] + 1 < self._attack.starts:
                again.append(slot)
            else:
                survived.append(occupant)
                free.append(slot)
        self._adversarial = self._attack.step(self._adversarial, gradient, self._images)
        for slot in again:
            self._start[slot] += 1
        self._begin(again)
        self._trial.observer.step(len(free))
        self._admit(free)
        return survived

    def _admit(self, slots: list[int]) -> None:
        """Fill slots with those who wait; without any, a slot stays idle."""
        admitted = []
        for slot in slots:
            self._occupant[slot] = next(self._waiting, None)
            self._start[slot] = 0
            if self._occupant[slot] is not None:
                admitted.append(slot)
        if admitted:
            indices = torch.tensor([self._occupant[slot] for slot in admitted], device=self._indices.device)
            self._images[admitted], self._labels[admitted] = self._trial.load(indices)
        self._begin(admitted)

    def _begin(self, slots: list[int]) -> None:
        """Put slots at the start of the attack."""
        if not slots:
            return
        shape = (1, *self._images.shape[1:])
        # Drawn on the CPU: the same starts on every device.
        noises = [self._attack.noise(shape, generator=self._rng(slot)) for slot in slots]
        drawn = [noise for noise in noises if noise is not None]
        noise = torch.cat(drawn).to(self._images.device) if drawn else None
        self._adversarial[slots] = started(self._images[slots], noise)
        for slot in slots:
            self._step[slot] = 0

    def _rng(self, slot: int) -> torch.Generator:
        example, start = self._occupant[slot], self._start[slot]
        assert example is not None
        return generator(self._trial.seed, f"evaluation/{self._attack.name}", epoch=start, step=example)

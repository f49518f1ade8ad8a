"""A batch that is always full: an image that is through makes room for the next."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from srat.attacks import IterativeAttack, input_gradient, started
from srat.data import to_unit
from srat.evaluation.outcome import Found, Outcome, broken_or_not
from srat.evaluation.serving import right
from srat.evaluation.trial import Images, Trial
from srat.losses.cross_entropy_loss import entropy_of

_UNDECIDED = -2
"""When an image breaks that is not through with a round."""


def passes_between_looks(device: torch.device) -> int:
    """Return how often to ask a device whether all is done: it has to be waited for, unless it is the CPU."""
    return 1 if device.type == "cpu" else 8


class Pool:
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

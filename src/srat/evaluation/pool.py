"""A batch that is always full: an image that is through makes room for the next."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Int, Num
from torch import Tensor

from srat.attacks.walks import Walk, chosen, right
from srat.core.warn import warn
from srat.core.words import counted
from srat.data import to_unit
from srat.evaluation.outcome import Found, Outcome, broken_or_not
from srat.evaluation.trial import Images, Trial

_UNDECIDED = -2
"""When an image breaks that is not through with a round."""
Numbered = Callable[[Int[Tensor, " slots"]], Int[Tensor, " slots"]]
"""How many points an occupant has come to before → the number of the point."""
Inside = Callable[[Images, Images], Bool[Tensor, " slots"]]
"""Points and untouched images → which points count."""


def passes_between_looks(device: torch.device) -> int:
    """Return how often to ask a device whether all is done: it has to be waited for, unless it is the CPU."""
    return 1 if device.type == "cpu" else 8


class Pool:
    """Slots of a batch that is always full: an image leaves when it is broken or has been through all, the next comes.

    Every image goes the same way as it would in any other company. All decisions are made on the device.

    Args:
        trial: the model.
        walk: the way.
        images: the queue, as the data set has them.
        labels: theirs.
        drawn: what each has for itself, if the walk draws.
        slots: images in each pass.
        numbered: the numbers of the points.
        inside: which points count, where a walk comes to others, too.
        last_alone: whether no point counts but the last: each image goes all its way.
    """

    def __init__(
        self,
        trial: Trial,
        walk: Walk,
        images: Num[Tensor, "n channels height width"],
        labels: Int[Tensor, " n"],
        drawn: Tensor | None,
        *,
        slots: int,
        numbered: Numbered,
        inside: Inside | None = None,
        last_alone: bool = False,
    ) -> None:
        self._trial, self._walk, self._numbered, self._inside = trial, walk, numbered, inside
        self._last_alone = last_alone
        self._queue, self._drawn = images, drawn
        self._n = len(labels)
        # A row more, where what is written for an idle slot goes.
        self._labels = torch.cat((labels, labels[:1]))
        self._broken_at, self._predicted = torch.full_like(self._labels, _UNDECIDED), self._labels.clone()
        self._astray = torch.zeros_like(self._labels, dtype=torch.bool)
        places = torch.arange(slots, device=trial.device)
        self._occupant, self._next = places.clamp(max=self._n), places.new_tensor(min(slots, self._n))
        self._step = torch.zeros_like(places)
        self._images = self._loaded()
        self._state = walk.begin(self._images, self._drawn_of_occupants())

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
        if astray := int(self._astray[:-1].sum()):
            warn(
                f"the gradient at {counted(astray, 'image')} is not finite: attacks are misled there, and such an "
                "accuracy is not one under attack"
            )

    def _advance(self) -> None:
        """Look at every slot once and move it on."""
        labels = self._labels[self._occupant]
        point, logits, state, gradient = self._walk.advance(
            self._trial.logits, self._state, self._step, self._images, labels
        )
        broken = ~right(logits, labels)
        if self._inside is not None:
            broken &= self._inside(point, self._images)
        if gradient is not None:
            self._astray[self._occupant] |= ~gradient.isfinite().flatten(1).all(dim=1)
        ended = self._step == self._walk.points - 1
        if self._last_alone:
            broken &= ended
        free = broken | ended
        self._note(free, broken_or_not(broken, self._numbered(self._step), logits, labels))
        self._step = torch.where(free, 0, self._step + 1)
        self._state = state
        if self._trial.device.type != "cpu" or bool(free.any()):
            self._admit(free)

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
        self._images = chosen(free, self._loaded(), self._images)
        begun = self._walk.begin(self._images, self._drawn_of_occupants())
        self._state = {name: chosen(free, begun[name], kept) for name, kept in self._state.items()}

    def _loaded(self) -> Images:
        """Return the untouched image of each slot's occupant."""
        return to_unit(self._queue[self._occupant.clamp(max=self._n - 1)])

    def _drawn_of_occupants(self) -> Tensor | None:
        return None if self._drawn is None else self._drawn[self._occupant.clamp(max=self._n - 1)]

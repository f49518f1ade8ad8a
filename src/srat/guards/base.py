"""What a guard is: it judges each epoch by what it has seen, and changes the attack after one that went wrong."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from srat.attacks import Attack
from srat.core.members import Member


class Right(NamedTuple):
    """Images, and how many of them are right."""

    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """Their share; NaN of none."""
        return self.correct / self.total if self.total else math.nan


class Seen(NamedTuple):
    """What is seen of a group of classes in an epoch.

    The probe's images are fixed ones of the training, after the epoch, in eval mode.
    """

    probe: Right
    """The probe's images under its attack, PGD."""
    best: Right
    """The same after the epoch, of those before, in which the most were right; 0 of 0 before the first."""
    trained: Right
    """The probe's images under the training attack."""
    guess: float
    """The share of the probe's images that always naming the same class gets right."""
    comparable: bool
    """Whether the training attack's balls are at least as large as PGD's."""
    attacked: Right
    """The epoch's images as the training attack left them, in the step's train mode."""
    started: Right
    """Those images where the attack began, as the model is lent to it."""

    @property
    def ratio(self) -> float:
        """acc(x') / acc(start) over the epoch: above 1 the attack tells the label, or BatchNorm lags behind."""
        return self.attacked.correct / max(1, self.started.correct)


@dataclass(frozen=True, kw_only=True)
class Guard(Member):
    """What looks after a training at the end of each epoch, and what is done if it has gone wrong."""

    def watches(self, attack: Attack) -> bool:
        """Return whether it looks after a training under this attack."""
        del attack
        return False

    def judge(self, seen: Mapping[str, Seen]) -> str:
        """Return what has gone wrong in an epoch, for people; "" if nothing has.

        Args:
            seen: what is seen of each group of classes, by its name; of all together under "".
        """
        raise NotImplementedError

    def is_good(self, seen: Mapping[str, Seen]) -> bool:
        """Return whether the weights after an epoch are such as to go back to, where nothing has gone wrong.

        Args:
            seen: as in `judge`.
        """
        raise NotImplementedError

    def steps_in(self, remedies: int) -> bool:
        """Return whether it goes back, and has a further remedy, after it has done so often."""
        raise NotImplementedError

    def remedied(self, attack: Attack, remedies: int) -> Attack:
        """Return the training attack after the guard has gone back so often.

        Args:
            attack: that of the configuration.
            remedies: how often, 0 or more.
        """
        raise NotImplementedError

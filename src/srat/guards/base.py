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
    """What is seen of a group of classes in an epoch."""

    probe: Right
    """Fixed training images under the probe's attack, at the end of the epoch."""
    best: Right
    """The same at the end of the epoch, of those before, in which the most were right; 0 of 0 before the first."""
    guess: float
    """The share of the probe's images that always naming the same class gets right."""
    attacked: Right
    """Training images as the training attack leaves them, over the epoch."""
    started: Right
    """Those images where the attack began."""
    comparable: bool
    """Whether the training attack's balls are at least as large as the probe's."""

    @property
    def counts(self) -> tuple[Right, Right, Right, Right]:
        """Of the probe, its best, the training attack, and its beginnings."""
        return self.probe, self.best, self.attacked, self.started

    @property
    def ratio(self) -> float:
        """acc(x') / acc(start) over the epoch: above 1 the attack tells the label."""
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

    def remedied(self, attack: Attack, remedies: int) -> Attack | None:
        """Return the training attack after the guard has stepped in so often; None if it is not to do so once more.

        Args:
            attack: that of the configuration.
            remedies: how often, 0 or more.
        """
        raise NotImplementedError

"""Integer counts per class, of which every other number is made."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from srat.statistics.anytime import anytime_interval, anytime_worst
from srat.statistics.intervals import Accuracy, Sum, weighted_sum, wilson
from srat.statistics.worst import Worst, worst_of


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Correct and all examples of each class."""

    correct: tuple[int, ...]
    total: tuple[int, ...]
    stopped: bool = False
    """Whether what was seen has decided how many there are: intervals are those that hold at any stop."""

    @classmethod
    def of(cls, survived: Bool[Tensor, " n"], labels: Int[Tensor, " n"], classes: int) -> "Counts":
        """Return the counts of examples of which some have survived.

        Args:
            survived: (n,), which have.
            labels: (n,), in [0, classes).
            classes: how many there are.
        """
        right, all_ = (torch.bincount(chosen, minlength=classes).tolist() for chosen in (labels[survived], labels))
        return cls(correct=tuple(right), total=tuple(all_))

    def accuracy(self, classes: Iterable[int] | None = None) -> Accuracy:
        """Return the accuracy over the examples of the given classes (all by default), with its interval."""
        chosen = range(len(self.total)) if classes is None else list(classes)
        interval = anytime_interval if self.stopped else wilson
        return interval(sum(self.correct[c] for c in chosen), sum(self.total[c] for c in chosen))

    @property
    def silent(self) -> list[int]:
        """The classes that have examples, none of them correct."""
        return [c for c, (right, all_) in enumerate(zip(self.correct, self.total, strict=True)) if all_ and not right]

    def macro(self) -> float:
        """Return the mean of the classes' accuracies; classes without an example do not count."""
        shares = [right / all_ for right, all_ in zip(self.correct, self.total, strict=True) if all_]
        return sum(shares) / len(shares) if shares else math.nan

    @property
    def uneven(self) -> bool:
        """Whether classes that have examples differ in how many, so that their mean is another than the accuracy."""
        return len({all_ for all_ in self.total if all_}) > 1

    def balanced(self) -> Accuracy:
        """Return the balanced accuracy, the mean of the classes' accuracies, with its interval (`weighted_sum`).

        Classes without an example do not count; where all others have as many, it is the accuracy.
        """
        if not self.uneven:
            return self.accuracy()
        parts = [Sum(*self.accuracy([c])) for c, all_ in enumerate(self.total) if all_]
        value, low, high = weighted_sum([1 / len(parts)] * len(parts), parts)
        return Accuracy(value, max(0.0, low), min(1.0, high))

    def worst(self) -> Worst:
        """Return the class of the lowest accuracy, with an interval for the lowest true accuracy of any class."""
        return (anytime_worst if self.stopped else worst_of)(self.correct, self.total)

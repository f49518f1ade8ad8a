"""What follows, and what does not, from the accuracies of several models on the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from srat.evaluation.groups import AnyGroups
from srat.statistics.intervals import Mean, mean_of_class_means, mean_over_seeds
from srat.statistics.paired import Difference, holm, paired_difference, paired_difference_of_means

SIGNIFICANT = 0.05
OVERALL, CLASS_MEAN = "overall", "class mean"
Labels = Int[NDArray[np.int64], " images"]
Survived = Bool[NDArray[np.bool_], "seeds images"]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A model, or several that differ by their seed alone."""

    name: str
    """What tables call it."""
    seeds: tuple[int, ...]
    """The seeds of its models, in order."""
    survived: Mapping[str, Survived]
    """By attack: which model gets which image right."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Some of the images: all, those of a group, or those of a class; or all, with each class counting alike."""

    name: str
    """"overall", "class mean", the group's or the class's."""
    is_class: bool
    """Whether it is one class."""
    chosen: Bool[NDArray[np.bool_], " images"]
    """Which images these are."""
    classes: Labels | None = None
    """Of the mean over classes: the class of each image; None where every image counts alike."""

    def mean(self, survived: Survived) -> Mean:
        """Return the mean accuracy over seeds on these images."""
        return (
            mean_over_seeds(survived[:, self.chosen])
            if self.classes is None
            else mean_of_class_means(survived, self.classes)
        )

    def difference(self, first: Survived, second: Survived) -> Difference:
        """Return how much higher the second's accuracy is on these images."""
        if self.classes is None:
            return paired_difference(first[:, self.chosen], second[:, self.chosen])
        return paired_difference_of_means(first, second, self.classes)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two contenders on the images of one scope, under one attack."""

    attack: str
    scope: str
    """"overall", "class mean", a group, or a class's name."""
    is_class: bool
    """Whether the scope is one class."""
    images: int
    """How many there are."""
    first: Mean
    second: Mean
    difference: Difference
    """Of the second against the first."""
    only_first: int
    """Images, over all seeds, that only the first gets right."""
    only_second: int
    """Images, over all seeds, that only the second gets right."""
    corrected: float
    """p, corrected for all comparisons that are made beside this one (Holm)."""

    @property
    def told_apart(self) -> bool:
        """Whether the two differ by more than chance explains, with the correction."""
        return self.corrected < SIGNIFICANT


def compare(
    first: Contender,
    others: Sequence[Contender],
    labels: Labels,
    class_names: Sequence[str],
    groups: AnyGroups,
) -> list[list[Comparison]]:
    """Return, for each of the others, its comparisons with the first, under each attack: overall, by group, by class.

    Args:
        first: the one to compare with.
        others: those compared; with the same attacks, images and seeds.
        labels: (images,), the true classes.
        class_names: a name for each.
        groups: of classes.
    """
    every = scopes_of_accuracy(labels, class_names, groups)
    rows = [
        [_compared(first, other, attack, scope) for attack in first.survived for scope in every] for other in others
    ]
    corrected = iter(holm([row.difference.p for each in rows for row in each]))
    return [[replace(row, corrected=next(corrected)) for row in each] for each in rows]


class Leader(NamedTuple):
    """The contender that is right most often."""

    place: int
    """Among the contenders."""
    p: float
    """Probability of as large a lead by chance, were another one as good: the largest over the others."""


def leader(survived: Sequence[Bool[NDArray[np.bool_], "seeds images"]]) -> Leader:
    """Return which of several contenders leads, by the test that `compare` makes: paired, over images and seeds.

    It is better than all others only if it is better than each, so that the least certain of these tests decides, and
    the choice of the leader by the same images needs no correction.

    Args:
        survived: of each contender (seeds, images), which of its models gets which image right; two at least.

    Source: Gutmann and Maymin, Is the selected population the best?, 1987.
    """
    place = int(np.argmax([each.mean() for each in survived]))
    others = [each for number, each in enumerate(survived) if number != place]
    return Leader(place, max(paired_difference(each, survived[place]).p for each in others))


def means_of(
    contender: Contender,
    attack: str,
    labels: Labels,
    class_names: Sequence[str],
    groups: AnyGroups,
) -> list[tuple[Scope, Mean]]:
    """Return a contender's mean accuracy under an attack: overall, by group, by class."""
    survived = contender.survived[attack]
    return [(scope, scope.mean(survived)) for scope in scopes_of_accuracy(labels, class_names, groups)]


def scopes(labels: Labels, class_names: Sequence[str], groups: AnyGroups) -> list[Scope]:
    """Return all images, those of each group, and those of each class; none without images."""
    every = (
        Scope(name=OVERALL, is_class=False, chosen=np.ones(len(labels), dtype=bool)),
        *(Scope(name=name, is_class=False, chosen=np.isin(labels, classes)) for name, classes in groups.named.items()),
        *(Scope(name=name, is_class=True, chosen=labels == number) for number, name in enumerate(class_names)),
    )
    return [scope for scope in every if scope.chosen.any()]


def scopes_of_accuracy(labels: Labels, class_names: Sequence[str], groups: AnyGroups) -> list[Scope]:
    """Return the `scopes`; where classes differ in how many images they have, their mean comes after all images."""
    overall, *others = scopes(labels, class_names, groups)
    if len(set(np.unique(labels, return_counts=True)[1].tolist())) == 1:
        return [overall, *others]
    return [overall, Scope(name=CLASS_MEAN, is_class=False, chosen=overall.chosen, classes=labels), *others]


def _compared(first: Contender, second: Contender, attack: str, scope: Scope) -> Comparison:
    every = first.survived[attack], second.survived[attack]
    one, two = (survived[:, scope.chosen] for survived in every)
    difference = scope.difference(*every)
    return Comparison(
        attack=attack,
        scope=scope.name,
        is_class=scope.is_class,
        images=int(scope.chosen.sum()),
        first=scope.mean(every[0]),
        second=scope.mean(every[1]),
        difference=difference,
        only_first=int((one & ~two).sum()),
        only_second=int((two & ~one).sum()),
        corrected=difference.p,
    )

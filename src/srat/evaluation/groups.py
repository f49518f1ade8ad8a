"""Groups of classes by how many training examples they have."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from srat.core.checked import checked
from srat.core.errors import UserError, nearest, require
from srat.core.words import few

COMMON, RARE = "common", "rare"
MANY, FEW = 100, 20
"""Training images above which a class has many, and below which few (Liu et al., 2019)."""
Classes = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Class indices by how many training examples they have."""

    well: Classes
    under: Classes

    @property
    def named(self) -> Mapping[str, Classes]:
        """The groups by their names; none where there is but one."""
        return {COMMON: self.well, RARE: self.under} if self.under else {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of them; nothing."""
        return ()


@checked
def groups(train_counts: Sequence[int]) -> Groups:
    """Return the rarer half of the classes as "under", the rest as "well" (the larger half of an odd number).

    Of classes with equal counts the later ones count as rarer; where all have as many, none is rare.

    Args:
        train_counts: (classes,), training examples of each class.

    Source: Section 5.1: the five most frequent of ten are well-represented.
    """
    if len(set(train_counts)) == 1:
        return Groups(well=tuple(range(len(train_counts))), under=())
    order = _from_common_to_rare(train_counts)
    cut = len(order) - len(order) // 2
    return Groups(well=tuple(sorted(order[:cut])), under=tuple(sorted(order[cut:])))


@dataclass(frozen=True, kw_only=True)
class NamedGroups:
    """Groups by another definition than the paper's."""

    named: Mapping[str, Classes]
    """The groups that have a class, from the common to the rare."""
    notes: tuple[str, ...] = ()
    """What is to be said of them, a line each: that a group has no class, or that labels decided."""


AnyGroups = Groups | NamedGroups


def _from_common_to_rare(train_counts: Sequence[int]) -> list[int]:
    """Return the classes by their counts; of equal ones the later count as rarer."""
    return sorted(range(len(train_counts)), key=lambda c: (-train_counts[c], c))


def half(train_counts: Sequence[int]) -> AnyGroups:
    """Return the paper's groups; see `groups`."""
    return groups(train_counts)


def thirds(train_counts: Sequence[int]) -> AnyGroups:
    """Return head, middle and tail, a third of the classes each; the first ones are larger where three does not divide.

    Source: REAT, whose tail are classes 7 to 9 of 10, by count instead of by label.
    """
    n = len(train_counts)
    return _by_rank(train_counts, {"head": -(-n // 3), "middle": -(-(n - 1) // 3), "tail": n // 3})


def rarest_80(train_counts: Sequence[int]) -> AnyGroups:
    """Return the rarest 80 % of the classes as tail, the others as head (RobustLT)."""
    head = len(train_counts) // 5
    return _by_rank(train_counts, {"head": head, "tail": len(train_counts) - head})


def many_medium_few(train_counts: Sequence[int]) -> AnyGroups:
    """Return the classes of more than 100, of 20 to 100, and of fewer than 20 training images (Liu et al., 2019)."""
    enough = {"many": (MANY + 1, None), "medium": (FEW, MANY), "few": (0, FEW - 1)}
    found = {
        name: tuple(c for c, n in enumerate(train_counts) if least <= n and (most is None or n <= most))
        for name, (least, most) in enough.items()
    }
    there = f"of {min(train_counts):,} to {max(train_counts):,}"
    said = {"many": f"more than {MANY}", "medium": f"{FEW} to {MANY}", "few": f"fewer than {FEW}"}
    return NamedGroups(
        named={name: classes for name, classes in found.items() if classes},
        notes=tuple(
            f"No class has {said[name]} training images ({there}): there is no group '{name}'."
            for name, classes in found.items()
            if not classes
        ),
    )


GROUPINGS: Mapping[str, Callable[[Sequence[int]], AnyGroups]] = {
    "half": half,
    "thirds": thirds,
    "rarest-80": rarest_80,
    "many-medium-few": many_medium_few,
}
"""Definitions by name: training examples of each class → groups."""


@checked
def grouped(definition: str, train_counts: Sequence[int], class_names: Sequence[str]) -> AnyGroups:
    """Return the groups of a definition, or given classes and the others.

    Args:
        definition: a name among `GROUPINGS`, or classes with commas between them, by name or by label.
        train_counts: (classes,), training examples of each class.
        class_names: a name for each.

    Raises:
        UserError: if it is neither, or no class or every class is given.
    """
    if definition in GROUPINGS:
        return GROUPINGS[definition](train_counts)
    words = [word.strip() for word in definition.split(",") if word.strip()]
    chosen = {_class_of(word, definition, class_names) for word in words}
    some = 0 < len(chosen) < len(class_names)
    require(some, f"groups: expected some of the {len(class_names)} classes, got {len(chosen)}")
    others = tuple(c for c in range(len(class_names)) if c not in chosen)
    return NamedGroups(named={"others": others, "chosen": tuple(sorted(chosen))})


def _class_of(word: str, definition: str, class_names: Sequence[str]) -> int:
    """Return the class that a word means: the one of that name, else the one of that label."""
    if word in class_names:
        return list(class_names).index(word)
    if word.isdecimal() and int(word) < len(class_names):
        return int(word)
    there = f"there are: {', '.join(GROUPINGS)}, and classes with commas between them ({few(class_names)})"
    said = definition if "," not in definition else word
    raise UserError(f"unknown groups '{said}'{nearest(said, [*GROUPINGS, *class_names])}; {there}")


def _by_rank(train_counts: Sequence[int], sizes: Mapping[str, int]) -> AnyGroups:
    """Return groups of these sizes, from the common to the rare; none where all classes have as many images."""
    if len(set(train_counts)) == 1:
        return NamedGroups(
            named={}, notes=(f"Every class has {train_counts[0]:,} training images: there are no groups.",)
        )
    order, named, notes, start = _from_common_to_rare(train_counts), {}, [], 0
    for name, size in sizes.items():
        named[name], start = tuple(sorted(order[start : start + size])), start + size
    notes += [f"There are too few classes for a group '{name}'." for name, classes in named.items() if not classes]
    named = {name: classes for name, classes in named.items() if classes}
    for (one, above), (other, below) in pairwise(named.items()):
        least = min(train_counts[c] for c in above)
        if least == max(train_counts[c] for c in below):
            notes.append(
                f"Of the classes with {least:,} training images the first are in '{one}', the others in '{other}'."
            )
    return NamedGroups(named=named, notes=tuple(notes))

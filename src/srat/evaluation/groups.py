"""Well- and under-represented classes."""

from collections.abc import Sequence
from dataclasses import dataclass

from srat.core.checked import checked


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Class indices by how many training examples they have."""

    well: tuple[int, ...]
    under: tuple[int, ...]


@checked
def groups(train_counts: Sequence[int]) -> Groups:
    """Return the rarer half of the classes as "under", the rest as "well" (the larger half of an odd number).

    Of classes with equal counts the later ones count as rarer; where all have as many, none is under-represented.

    Args:
        train_counts: (classes,), training examples of each class.

    Source: Section 5.1: the five most frequent of ten are well-represented.
    """
    if len(set(train_counts)) == 1:
        return Groups(well=tuple(range(len(train_counts))), under=())
    order = sorted(range(len(train_counts)), key=lambda c: (-train_counts[c], c))
    cut = len(order) - len(order) // 2
    return Groups(well=tuple(sorted(order[:cut])), under=tuple(sorted(order[cut:])))

"""Which groups of images a part is drawn of: groups stay whole, and each class gets about its share."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from srat.core.words import few, percent

G = TypeVar("G", bound=Hashable)
UNMET = 0.05
"""How far the share of a class may be from the wanted one without a word."""


def drawn_groups(
    images: Iterable[tuple[G, int]], order: Sequence[G], wanted: Mapping[int, int], most: Mapping[int, int]
) -> set[G]:
    """Return groups that hold about as many images of each class as are wanted.

    In the given order, a group is taken if Σ_c ((h_c − w_c) / n_c)² becomes smaller by that, with h_c of n_c images
    held and w_c wanted. A class of which none is held then gets the smallest group that fits. A group with which more
    of a class would be held than may be is not taken.

    Args:
        images: each with its group and its class.
        order: of the groups, each once.
        wanted: images of each class; 0 of a class that is to have none.
        most: images of each class that may be held.
    """
    sizes: dict[G, Counter[int]] = {group: Counter() for group in order}
    for group, label in images:
        sizes[group][label] += 1
    total: Counter[int] = sum(sizes.values(), Counter())
    held: Counter[int] = Counter()
    drawn: set[G] = set()

    def fits(group: G) -> bool:
        return all(held[label] + count <= most[label] for label, count in sizes[group].items())

    def gain(group: G) -> float:
        """Return by how much the sum becomes smaller."""
        far = {label: held[label] - wanted[label] for label in sizes[group]}
        return -sum(n * (2 * far[label] + n) / total[label] ** 2 for label, n in sizes[group].items())

    def take(group: G) -> None:
        drawn.add(group)
        held.update(sizes[group])

    for group in order:
        if fits(group) and gain(group) > 0:
            take(group)
    for label in sorted(total):
        fitting = [group for group in order if sizes[group][label] and group not in drawn and fits(group)]
        if wanted[label] and not held[label] and fitting:
            take(min(fitting, key=lambda group: sizes[group].total()))  # the first of several
    return drawn


def unmet(names: Sequence[str], held: Sequence[int], total: Sequence[int], wanted: Sequence[int]) -> str:
    """Return which classes have another share than was wanted, as groups stay whole; "" if none has.

    Args:
        names: of the classes.
        held: images of each class in the part.
        total: images of each class in all.
        wanted: images of each class that were wanted in the part.
    """
    far = [
        f"{name} {percent(have, n)} instead of {percent(want, n)}"
        for name, have, n, want in zip(names, held, total, wanted, strict=True)
        if n and abs(have - want) > UNMET * n
    ]
    return few(far)

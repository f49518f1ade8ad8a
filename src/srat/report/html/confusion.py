"""What the images of each class are taken for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from srat.evaluation.classification import confusion_of
from srat.evaluation.examples import Examples
from srat.evaluation.record import CLEAN
from srat.report.html.record import RunRecord

SHOWN_CLASSES = 25
"""Classes of which all confusions are shown; of more, only what the rare ones are taken for."""
_ALSO_TAKEN_FOR = 3


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """What the images of each class are taken for, under one attack."""

    result: str
    table: Sequence[Sequence[float]]
    """(classes, classes), per cent of the true class's images; empty if there are too many classes."""
    taken: Sequence[tuple[int, float, Sequence[tuple[int, float]]]]
    """Of each rare class: how many are right, and what most of the others are taken for, in per cent."""


def confusions(record: RunRecord) -> list[Confusion]:
    """Return what each class is taken for: under the strongest attack first, last as the images are."""
    examples = record.examples
    if examples is None:
        return []
    sizes = torch.bincount(examples.labels, minlength=len(examples.class_names)).tolist()
    told = [c for c in record.by_rarity if sizes[c] and (c in record.rare or not record.rare)]
    hardest = sorted(examples.outcomes, key=lambda name: (name == CLEAN, int(examples.outcomes[name].survived.sum())))
    return [_confusion(examples, name, told) for name in hardest]


def _confusion(examples: Examples, name: str, told: Sequence[int]) -> Confusion:
    shares = _shares(examples, name)
    return Confusion(
        result=name,
        table=shares if len(shares) <= SHOWN_CLASSES else [],
        taken=[_taken(shares[c], c) for c in told],
    )


def _shares(examples: Examples, name: str) -> list[list[float]]:
    """Return what the images of each class are taken for, in per cent of them; zeros for a class without images."""
    classes = len(examples.class_names)
    counts = confusion_of(examples.outcomes[name], examples.labels, classes).double()
    shares: list[list[float]] = (
        100 * counts / torch.bincount(examples.labels, minlength=classes).clamp(min=1)[:, None]
    ).tolist()
    return shares


def _taken(shares: Sequence[float], c: int) -> tuple[int, float, list[tuple[int, float]]]:
    others = sorted(((share, -other) for other, share in enumerate(shares) if other != c and share > 0), reverse=True)
    return c, shares[c], [(-other, share) for share, other in others[:_ALSO_TAKEN_FOR]]

"""Accuracies of classes and groups, as bars."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from srat.report.html.record import RunRecord
from srat.statistics.intervals import Accuracy

COMMON, RARE, MEAN = "common classes", "rare classes", "mean over classes"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """An accuracy in per cent, with its interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, accuracy: Accuracy) -> "Bar | None":
        """Return the bar of an accuracy; None where there is no image."""
        if math.isnan(accuracy.accuracy):
            return None
        return cls(value=100 * accuracy.accuracy, low=100 * accuracy.low, high=100 * accuracy.high)


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """A class, or a group of them, with its accuracies."""

    name: str
    images: int | None
    """Training images; None of a mean."""
    share: float
    """Of the most frequent class's, in per cent."""
    rare: bool
    group: str
    """What marks it: "rare", or the name of its group where others were asked for; "" for nothing."""
    bars: Sequence[Bar | None]
    """One for each result."""


def class_rows(record: RunRecord) -> list[ClassRow]:
    """Return a row for each class, the most frequent first."""
    evaluation = record.evaluation
    most = max(evaluation.train_counts)
    return [
        ClassRow(
            name=evaluation.class_names[c],
            images=evaluation.train_counts[c],
            share=100 * evaluation.train_counts[c] / max(1, most),
            rare=c in record.rare,
            group=_mark(record, c),
            bars=[Bar.of(result.counts.accuracy([c])) for result in evaluation.results.values()],
        )
        for c in reversed(record.by_rarity)
    ]


def _mark(record: RunRecord, c: int) -> str:
    if record.groups is None:
        return "rare" if c in record.rare else ""
    return next((name for name, classes in record.groups.named.items() if c in classes), "")


def groups_of(record: RunRecord) -> list[tuple[str, Sequence[int]]]:
    """Return all classes, and the groups that were asked for: by default the common and the rare ones, if any."""
    found: list[tuple[str, Sequence[int]]] = [("all classes", range(len(record.evaluation.class_names)))]
    if record.groups is not None:
        return [*found, *record.groups.named.items()]
    return found + ([(COMMON, record.evaluation.groups.well), (RARE, record.rare)] if record.rare else [])


def group_rows(record: RunRecord) -> list[ClassRow]:
    """Return a row for each group of classes, and one of the mean over all where they differ in their test images."""
    evaluation = record.evaluation
    counts = [result.counts for result in evaluation.results.values()]
    mean = ClassRow(
        name=MEAN,
        images=None,
        share=0.0,
        rare=False,
        group="",
        bars=[Bar.of(each.balanced()) for each in counts],
    )
    of_all, *others = [
        ClassRow(
            name=name,
            images=sum(evaluation.train_counts[c] for c in classes),
            share=0.0,
            rare=name in (RARE, record.extremes[1]),
            group="",
            bars=[Bar.of(each.accuracy(classes)) for each in counts],
        )
        for name, classes in groups_of(record)
    ]
    return [of_all, *([mean] if any(each.uneven for each in counts) else []), *others]

"""What an evaluation says, as a value, as evaluation.json and back."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import le
from pathlib import Path
from typing import Any

from srat.attacks import AnyAttack, Search
from srat.core.checked import checked
from srat.core.errors import require
from srat.core.structuring import read_structured
from srat.data.counts import LARGEST_COUNT
from srat.evaluation.classification import f1_scores, macro, precisions
from srat.evaluation.counts import Counts
from srat.evaluation.groups import Groups, groups
from srat.evaluation.outcome import Outcome
from srat.evaluation.probabilities import Probabilities
from srat.statistics.intervals import Accuracy

CLEAN = "clean"
"""What results on images as they are are called."""
WORST = "worst-case"
"""What the result of images that none of several attacks breaks is called."""
LARGEST_FILE = 1 << 23
"""Bytes of an evaluation that are read at the most."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The counts under one attack, and the attack's parameters."""

    counts: Counts
    attack: Mapping[str, Any]
    outcome: Outcome | None = field(default=None, compare=False, repr=False)
    """What became of each image, where that is at hand."""
    dtype: str = "float32"
    """The type that the model computed in; gradients lose digits in half precision, and with them the attack."""
    last_step: Counts | None = None
    """The counts where the attack ends, whatever it has broken on its way, if they were asked for."""
    last_outcome: Outcome | None = field(default=None, compare=False, repr=False)
    """What became of each image there, where that is at hand."""
    taken: tuple[int, ...] | None = None
    """How many images are taken for each class; None in the worst case over several attacks, which take them for
    different ones."""
    probabilities: Probabilities | None = None
    """How good the model's probabilities are, on images as they are."""

    @property
    def accuracy(self) -> Accuracy:
        """Accuracy over all examples, with its interval."""
        return self.counts.accuracy()

    @property
    def precision(self) -> tuple[float, ...] | None:
        """Each class's precision, NaN where no image is taken for it; None where that is not known."""
        return None if self.taken is None else precisions(self.counts.correct, self.taken)

    @property
    def f1(self) -> tuple[float, ...] | None:
        """Each class's F1, NaN where it has no image; None where that is not known."""
        return None if self.taken is None else f1_scores(self.counts.correct, self.counts.total, self.taken)

    @property
    def macro_precision(self) -> float | None:
        """The mean of the precision of classes that have images; 0 of one that no image is taken for."""
        if self.precision is None:
            return None
        there = zip(self.precision, self.counts.total, strict=True)
        return macro([0.0 if math.isnan(value) else value for value, total in there if total])

    @property
    def macro_f1(self) -> float | None:
        """The mean of the classes' F1."""
        return None if self.f1 is None else macro(self.f1)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A model's results by attack."""

    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    results: Mapping[str, Result] = field(default_factory=dict)
    path: Path | None = field(default=None, compare=False, repr=False)
    """The file that holds it, if one does."""

    @property
    def groups(self) -> Groups:
        """Well- and under-represented classes."""
        return groups(self.train_counts)

    def to_json(self) -> str:
        """Return the contents of evaluation.json."""
        groups = self.groups
        content = {
            "class_names": self.class_names,
            "train_counts": self.train_counts,
            "groups": dataclasses.asdict(groups),
            "results": {name: _result_json(result, groups, self.class_names) for name, result in self.results.items()},
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    @checked
    def read(cls, path: Path) -> "Evaluation":
        """Return the evaluation that a file holds; what can be derived is derived again.

        Raises:
            UserError: if the file is not such an evaluation.
        """
        file = read_structured(path, _File, limit=LARGEST_FILE, what="evaluation")
        results = {
            name: Result(
                counts=Counts(correct=each.correct, total=each.total, stopped=each.stopped),
                attack=each.attack,
                dtype=each.dtype,
                last_step=each.counts_of_last_step,
                taken=each.taken,
                probabilities=each.probabilities,
            )
            for name, each in file.results.items()
        }
        return cls(class_names=file.class_names, train_counts=file.train_counts, results=results, path=path)


@dataclass(frozen=True, kw_only=True)
class _FileLastStep:
    correct: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _FileResult:
    correct: tuple[int, ...]
    total: tuple[int, ...]
    attack: dict[str, Any]
    dtype: str = "float32"
    stopped: bool = False
    last_step: _FileLastStep | None = None
    taken: tuple[int, ...] | None = None
    probabilities: Probabilities | None = None

    def __post_init__(self) -> None:
        _require_counts(self.correct, len(self.total))
        _require_counts(self.total, len(self.total))
        require(all(map(le, self.correct, self.total)), "more correct examples than there are")
        if self.last_step is not None:
            correct = self.last_step.correct
            _require_counts(correct, len(self.total))
            require(all(map(le, correct, self.total)), "more correct examples at the last step than there are")
            fewer = "fewer correct examples at the last step than at every step"
            require(all(map(le, self.correct, correct)), fewer)

        if self.taken is not None:
            _require_counts(self.taken, len(self.total))
            require(all(map(le, self.correct, self.taken)), "more images right than are taken for a class")
        if self.probabilities is not None:
            require(len(self.probabilities.auc) == len(self.total), "auc: expected a number for each class")

    @property
    def counts_of_last_step(self) -> Counts | None:
        return None if self.last_step is None else Counts(correct=self.last_step.correct, total=self.total)


@dataclass(frozen=True, kw_only=True)
class _File:
    """What evaluation.json must hold; whatever else it holds can be derived from that."""

    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    results: dict[str, _FileResult]

    def __post_init__(self) -> None:
        require(len(self.class_names) >= 2, "fewer than two classes")
        for counts in (self.train_counts, *(result.total for result in self.results.values())):
            _require_counts(counts, len(self.class_names))


def _require_counts(counts: Sequence[int], length: int) -> None:
    plausible = len(counts) == length and all(0 <= count <= LARGEST_COUNT for count in counts)
    require(plausible, f"expected {length} counts")


@checked
def describe_attack(attack: AnyAttack, classes: int) -> dict[str, Any]:
    """Return an attack's name and parameters, and what is to be said of it on so many classes."""
    note = attack.note(classes) if isinstance(attack, Search) else ""
    return {"name": attack.name, **attack.settings_to_record()} | ({"note": note} if note else {})


@checked
def summary(counts: Counts, groups: Groups) -> dict[str, Accuracy]:
    """Return the accuracies that tables show: overall, mean over classes, well, under, worst class (`worst_of`'s).

    Args:
        counts: correct and all images of each class.
        groups: which classes are well- and which under-represented.
    """
    return {
        "overall": counts.accuracy(),
        "balanced": counts.balanced(),
        "well": counts.accuracy(groups.well),
        "under": counts.accuracy(groups.under),
        "worst_class": counts.worst().accuracy,
    }


def _result_json(result: Result, groups: Groups, class_names: Sequence[str]) -> dict[str, Any]:
    worst, last, probabilities = result.counts.worst(), result.last_step, result.probabilities
    return {
        "attack": result.attack,
        "correct": result.counts.correct,
        "total": result.counts.total,
        "summary": _summary_json(result.counts, groups),
        "worst_class_among": [class_names[c] for c in (worst.number, *worst.others)],
        **({} if last is None else {"last_step": {"correct": last.correct, "summary": _summary_json(last, groups)}}),
        **({} if result.taken is None else _taken_json(result)),
        **({} if probabilities is None else {"probabilities": _probabilities_json(probabilities)}),
        **({"dtype": result.dtype} if result.dtype != "float32" else {}),
        **({"stopped": True} if result.counts.stopped else {}),
    }


def _taken_json(result: Result) -> dict[str, Any]:
    return {
        "taken": result.taken,
        "precision": [_or_null(value) for value in result.precision or ()],
        "f1": [_or_null(value) for value in result.f1 or ()],
        "macro_precision": _or_null(result.macro_precision or 0.0),
        "macro_f1": _or_null(result.macro_f1 or 0.0),
    }


def _probabilities_json(probabilities: Probabilities) -> dict[str, Any]:
    derived = {"calibration_error": probabilities.calibration_error, "mean_auc": probabilities.mean_auc}
    return derived | dataclasses.asdict(probabilities)


def _summary_json(counts: Counts, groups: Groups) -> dict[str, Any]:
    return {name: _accuracy_json(accuracy) for name, accuracy in summary(counts, groups).items()}


def _accuracy_json(accuracy: Accuracy) -> dict[str, float | None]:
    return {name: _or_null(value) for name, value in accuracy._asdict().items()}


def _or_null(value: float) -> float | None:
    """Return a number for JSON, which has no NaN: the accuracy of no image is null."""
    return None if math.isnan(value) else value

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
from srat.evaluation.counts import Counts
from srat.evaluation.groups import Groups, groups
from srat.evaluation.outcome import Outcome
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

    @property
    def accuracy(self) -> Accuracy:
        """Accuracy over all examples, with its interval."""
        return self.counts.accuracy()


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
    """Return the accuracies that tables show: overall, well, under, worst class (whose interval is `worst_of`'s).

    Args:
        counts: correct and all images of each class.
        groups: which classes are well- and which under-represented.
    """
    return {
        "overall": counts.accuracy(),
        "well": counts.accuracy(groups.well),
        "under": counts.accuracy(groups.under),
        "worst_class": counts.worst().accuracy,
    }


def _result_json(result: Result, groups: Groups, class_names: Sequence[str]) -> dict[str, Any]:
    worst, last = result.counts.worst(), result.last_step
    return {
        "attack": result.attack,
        "correct": result.counts.correct,
        "total": result.counts.total,
        "summary": _summary_json(result.counts, groups),
        "worst_class_among": [class_names[c] for c in (worst.number, *worst.others)],
        **({} if last is None else {"last_step": {"correct": last.correct, "summary": _summary_json(last, groups)}}),
        **({"dtype": result.dtype} if result.dtype != "float32" else {}),
        **({"stopped": True} if result.counts.stopped else {}),
    }


def _summary_json(counts: Counts, groups: Groups) -> dict[str, Any]:
    return {name: _accuracy_json(accuracy) for name, accuracy in summary(counts, groups).items()}


def _accuracy_json(accuracy: Accuracy) -> dict[str, float | None]:
    # JSON has no NaN: the accuracy of no image is null.
    return {name: None if math.isnan(value) else value for name, value in accuracy._asdict().items()}

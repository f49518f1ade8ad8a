"""What an evaluation says, as a value, as evaluation.json and back."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from srat.attacks import AnyAttack, ReferenceAttack
from srat.core.checked import checked
from srat.core.errors import UserError, require
from srat.core.files import parse_json, read_bounded
from srat.data.counts import LARGEST_COUNT
from srat.evaluation.counts import Counts
from srat.evaluation.groups import Groups, groups
from srat.evaluation.outcome import Outcome
from srat.statistics.intervals import Accuracy

CLEAN = "clean"
"""What results on images as they are are called."""
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
            "results": {name: _result_json(result, groups) for name, result in self.results.items()},
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    @checked
    def read(cls, path: Path) -> "Evaluation":
        """Return the evaluation that a file holds; whatever can be derived is derived anew.

        Raises:
            UserError: if the file is not such an evaluation.
        """
        try:
            content = parse_json(read_bounded(path, LARGEST_FILE), where="evaluation")
            require(len(content["class_names"]) >= 2, "fewer than two classes")
            results = {
                str(name): _read_result(result, len(content["class_names"]))
                for name, result in content["results"].items()
            }
            return cls(
                class_names=tuple(str(name) for name in content["class_names"]),
                train_counts=_integers(content["train_counts"], len(content["class_names"])),
                results=results,
                path=path,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: not a readable evaluation ({type(error).__name__}: {error})") from error


@checked
def describe_attack(attack: AnyAttack, classes: int) -> dict[str, Any]:
    """Return an attack's name and parameters, and what is to be said of it on so many classes."""
    note = attack.note(classes) if isinstance(attack, ReferenceAttack) else ""
    return {"name": attack.name, **dataclasses.asdict(attack)} | ({"note": note} if note else {})


@checked
def summary(counts: Counts, groups: Groups) -> dict[str, Accuracy]:
    """Return the accuracies that tables show: overall, well, under, worst class.

    Args:
        counts: correct and all images of each class.
        groups: which classes are well- and which under-represented.
    """
    return {
        "overall": counts.accuracy(),
        "well": counts.accuracy(groups.well),
        "under": counts.accuracy(groups.under),
        "worst_class": counts.accuracy([counts.worst_class()]),
    }


def _result_json(result: Result, groups: Groups) -> dict[str, Any]:
    return {
        "attack": result.attack,
        "correct": result.counts.correct,
        "total": result.counts.total,
        "summary": {name: _accuracy_json(accuracy) for name, accuracy in summary(result.counts, groups).items()},
    } | ({"dtype": result.dtype} if result.dtype != "float32" else {})


def _accuracy_json(accuracy: Accuracy) -> dict[str, float | None]:
    # JSON has no NaN: the accuracy of no image is null.
    return {name: None if math.isnan(value) else value for name, value in accuracy._asdict().items()}


def _read_result(content: Mapping[str, Any], classes: int) -> Result:
    counts = Counts(correct=_integers(content["correct"], classes), total=_integers(content["total"], classes))
    if any(right > all_ for right, all_ in zip(counts.correct, counts.total, strict=True)):
        raise ValueError("more correct examples than there are")
    return Result(counts=counts, attack=dict(content["attack"]), dtype=str(content.get("dtype", "float32")))


def _integers(values: Sequence[Any], length: int) -> tuple[int, ...]:
    if len(values) != length or not all(type(value) is int and 0 <= value <= LARGEST_COUNT for value in values):
        raise ValueError(f"expected {length} counts")
    return tuple(values)

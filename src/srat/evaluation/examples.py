"""What became of each test image, kept beside the counts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from srat.attacks import Natural
from srat.errors import UserError, require
from srat.evaluation.counts import Counts
from srat.evaluation.outcome import NEVER, Outcome
from srat.evaluation.record import Result
from srat.tensor_file import TensorFile, open_tensors, write_tensors

_MOST_EXAMPLES = 10**8


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What an outcome comes from, beside model and images: the same makes the same again."""

    attack: Mapping[str, Any]
    """The attack's name and parameters."""
    seed: int
    """Of the attack's randomness."""
    budget: str
    """What names of results say of norm and ε; nothing where these are the run's own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """The test images of an evaluation, and what became of each under each attack."""

    labels: Int[Tensor, " n"]
    """(n,), the true classes."""
    class_names: tuple[str, ...]
    """A name for each class."""
    test: str
    """SHA-256 of images and labels."""
    weights: str
    """SHA-256 of the file of weights."""
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    """What became of the images, by the result's name."""
    origins: Mapping[str, "Origin"] = field(default_factory=dict)
    """What made the outcome of that name."""

    def with_outcome(self, name: str, outcome: Outcome, origin: "Origin") -> "Examples":
        """Return the examples with one more outcome, or one replaced."""
        plain = Outcome(*(column.cpu() for column in outcome))
        return replace(self, outcomes={**self.outcomes, name: plain}, origins={**self.origins, name: origin})

    def with_all_of(self, other: "Examples") -> "Examples":
        """Return the examples with another's outcomes put in."""
        return replace(self, outcomes={**self.outcomes, **other.outcomes}, origins={**self.origins, **other.origins})

    def survived(self, *names: str) -> Bool[Tensor, " n"]:
        """Return which images none of the attacks has broken."""
        return reduce(torch.logical_and, (self.outcomes[name].survived for name in names))

    def counts(self, *names: str) -> Counts:
        """Return the correct and all images of each class, in the worst case over the attacks."""
        return Counts.of(self.survived(*names), self.labels, len(self.class_names))

    def results(self) -> dict[str, Result]:
        """Return the result of each attack, and the worst case over those of one budget, where there are several."""
        by_budget: dict[str, list[str]] = {}
        for name, origin in self.origins.items():
            if origin.attack["name"] != Natural.name:
                by_budget.setdefault(origin.budget, []).append(name)
        own = {name: Result(counts=self.counts(name), attack=origin.attack) for name, origin in self.origins.items()}
        worst = {
            f"worst-case{budget}": Result(counts=self.counts(*names), attack={"name": "worst-case", "of": names})
            for budget, names in by_budget.items()
            if len(names) > 1
        }
        return own | worst

    def write(self, path: Path) -> None:
        """Write them to a file, whole or not at all."""
        columns = {"labels": self.labels.int()} | {
            f"{name}.{column}": values.int()
            for name, outcome in self.outcomes.items()
            for column, values in outcome._asdict().items()
        }
        origins = {name: asdict(origin) for name, origin in self.origins.items()}
        facts = {"class_names": self.class_names, "test": self.test, "weights": self.weights, "origins": origins}
        write_tensors(path, columns, facts)

    @classmethod
    def read(cls, path: Path) -> "Examples":
        """Return the examples that a file holds.

        Raises:
            UserError: if the file is damaged, or not of that kind.
        """
        file = open_tensors(path)
        try:
            facts = file.facts
            origins = {str(name): Origin(**origin) for name, origin in facts["origins"].items()}
            names = {name: [f"{name}.{column}" for column in Outcome._fields] for name in origins}
            _check_shapes(file, {"labels", *(column for columns in names.values() for column in columns)})
            tensors = {name: tensor.long() for name, tensor in file.tensors().items()}
            examples = cls(
                labels=tensors["labels"],
                class_names=tuple(str(name) for name in facts["class_names"]),
                test=str(facts["test"]),
                weights=str(facts["weights"]),
                outcomes={name: Outcome(*(tensors[column] for column in columns)) for name, columns in names.items()},
                origins=origins,
            )
            examples._check()
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(f"{path}: not a file of examples ({type(error).__name__}: {error})") from error
        return examples

    def _check(self) -> None:
        classes = len(self.class_names)
        require(classes >= 2, "fewer than two classes")
        for name, column in (
            ("labels", self.labels),
            *((name, each.predicted) for name, each in self.outcomes.items()),
        ):
            require(bool(((column >= 0) & (column < classes)).all()), f"{name}: a class that there is not")
        for name, outcome in self.outcomes.items():
            require(bool((outcome.broken_at >= NEVER).all()), f"{name}: broken at a point that there is not")
            require(isinstance(self.origins[name].attack.get("name"), str), f"{name}: by an attack without a name")


def _check_shapes(file: TensorFile, wanted: set[str]) -> None:
    # Before anything is read: a stranger's file may hold more than memory does.
    require(file.shapes.keys() == wanted, f"expected {', '.join(sorted(wanted))}")
    shape = file.shapes["labels"]
    require(len(shape) == 1 and 0 < shape[0] <= _MOST_EXAMPLES, "labels: expected one for each image")
    require(all(each == shape for each in file.shapes.values()), "columns of different lengths")

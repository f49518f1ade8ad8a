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
from srat.core.errors import UserError, require
from srat.core.structuring import structured
from srat.core.tensor_file import TensorFile, open_tensors, write_tensors
from srat.evaluation.classification import taken_for
from srat.evaluation.counts import Counts
from srat.evaluation.outcome import NEVER, Outcome
from srat.evaluation.probabilities import Probabilities
from srat.evaluation.record import CLEAN, WORST, Result

_MOST_NUMBERS = 10**8


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
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """What made the outcome of that name."""
    last_steps: Mapping[str, Outcome] = field(default_factory=dict)
    """What became of the images at the last step alone, by the result's name, where that was asked for."""
    probabilities: Probabilities | None = None
    """How good the model's probabilities are on the images as they are, where that has been found out."""

    def with_outcome(self, name: str, outcome: Outcome, origin: Origin) -> "Examples":
        """Return the examples with one more outcome, or one replaced, and nothing of its last step."""
        others = {each: last for each, last in self.last_steps.items() if each != name}
        outcomes = {**self.outcomes, name: _on_cpu(outcome)}
        return replace(self, outcomes=outcomes, origins={**self.origins, name: origin}, last_steps=others)

    def with_last_step(self, name: str, outcome: Outcome) -> "Examples":
        """Return the examples with what became of them at an attack's last step."""
        return replace(self, last_steps={**self.last_steps, name: _on_cpu(outcome)})

    def has(self, name: str, other: "Examples") -> bool:
        """Return whether the outcome of a name is the same, by the same attack, as that of others' examples."""
        both = self.origins.get(name), other.origins.get(name)
        return (
            None not in both and both[0] == both[1] and all(map(torch.equal, self.outcomes[name], other.outcomes[name]))
        )

    def with_all_of(self, other: "Examples") -> "Examples":
        """Return the examples with another's outcomes put in."""
        kept = {
            name: last for name, last in self.last_steps.items() if name not in other.outcomes or self.has(name, other)
        }
        return replace(
            self,
            outcomes={**self.outcomes, **other.outcomes},
            origins={**self.origins, **other.origins},
            last_steps=kept | dict(other.last_steps),
            probabilities=other.probabilities or self.probabilities,
        )

    def survived(self, *names: str) -> Bool[Tensor, " n"]:
        """Return which images none of the attacks has broken."""
        return reduce(torch.logical_and, (self.outcomes[name].survived for name in names))

    def survived_result(self, name: str) -> Bool[Tensor, " n"]:
        """Return which images are right in a result: under an attack, or in the worst case over several."""
        return self.survived(*self.results()[name].attack.get("of", [name]))

    def counts(self, *names: str) -> Counts:
        """Return the correct and all images of each class, in the worst case over the attacks."""
        return Counts.of(self.survived(*names), self.labels, len(self.class_names))

    def counts_of_last_step(self, name: str) -> Counts | None:
        """Return the correct and all images of each class at an attack's last step; None where it was not asked for."""
        last = self.last_steps.get(name)
        return None if last is None else Counts.of(last.survived, self.labels, len(self.class_names))

    def results(self) -> dict[str, Result]:
        """Return the result of each attack, and the worst case over those of one budget, where there are several."""
        by_budget: dict[str, list[str]] = {}
        for name, origin in self.origins.items():
            if origin.attack["name"] != Natural.name:
                by_budget.setdefault(origin.budget, []).append(name)
        own = {
            name: Result(
                counts=self.counts(name),
                attack=origin.attack,
                last_step=self.counts_of_last_step(name),
                taken=taken_for(self.outcomes[name], self.labels, len(self.class_names)),
                probabilities=self.probabilities if name == CLEAN else None,
            )
            for name, origin in self.origins.items()
        }
        worst = {
            f"{WORST}{budget}": Result(counts=self.counts(*names), attack={"name": WORST, "of": names})
            for budget, names in by_budget.items()
            if len(names) > 1
        }
        return own | worst

    def write(self, path: Path) -> None:
        """Write them to a file, whole or not at all."""
        last_steps = {_last(name): outcome for name, outcome in self.last_steps.items()}
        columns = {"labels": self.labels.int()} | {
            f"{name}.{column}": values.int()
            for name, outcome in {**self.outcomes, **last_steps}.items()
            for column, values in outcome._asdict().items()
        }
        origins = {name: asdict(origin) for name, origin in self.origins.items()}
        facts = {"class_names": self.class_names, "test": self.test, "weights": self.weights, "origins": origins}
        facts |= {"last_steps": list(self.last_steps)} if self.last_steps else {}
        facts |= {} if self.probabilities is None else {"probabilities": asdict(self.probabilities)}
        write_tensors(path, columns, facts)

    @classmethod
    def read(cls, path: Path) -> "Examples":
        """Return the examples that a file holds.

        Raises:
            UserError: if the file is damaged, or not of that kind.
        """
        try:
            file = open_tensors(path)
        except UserError as error:
            raise UserError(f"{error}; remove it to evaluate anew") from error
        try:
            facts = file.facts
            origins = {str(name): Origin(**origin) for name, origin in facts["origins"].items()}
            lasts = [str(name) for name in facts.get("last_steps", [])]
            require(set(lasts) <= origins.keys(), "a last step of no attack")
            whole = (*origins, *map(_last, lasts))
            wanted = {"labels", *(f"{name}.{column}" for name in whole for column in Outcome._fields)}
            _check_shapes(file, wanted)
            tensors = file.tensors()
            require(all(tensor.dtype == torch.int32 for tensor in tensors.values()), "columns that are not integers")

            def outcome_of(name: str) -> Outcome:
                return Outcome(*(tensors[f"{name}.{column}"].long() for column in Outcome._fields))

            examples = cls(
                labels=tensors["labels"].long(),
                class_names=tuple(facts["class_names"]),
                test=facts["test"],
                weights=facts["weights"],
                outcomes={name: outcome_of(name) for name in origins},
                origins=origins,
                last_steps={name: outcome_of(_last(name)) for name in lasts},
                probabilities=structured(told, Probabilities) if (told := facts.get("probabilities")) else None,
            )
            examples._check()
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            why = f"{type(error).__name__}: {error}" if not isinstance(error, UserError) else str(error)
            raise UserError(f"{path}: not a readable file of examples ({why}); remove it to evaluate anew") from error
        return examples

    def _check(self) -> None:
        classes, known = len(self.class_names), self.probabilities
        require(known is None or len(known.auc) == classes, "probabilities of other classes")
        texts = (*self.class_names, self.test, self.weights, *(origin.budget for origin in self.origins.values()))
        require(all(isinstance(text, str) for text in texts), "something else where text was expected")
        require(classes >= 2, "fewer than two classes")
        outcomes = {**self.outcomes, **{_last(name): outcome for name, outcome in self.last_steps.items()}}
        columns = {"labels": self.labels} | {name: outcome.predicted for name, outcome in outcomes.items()}
        for name, column in columns.items():
            require(bool(((column >= 0) & (column < classes)).all()), f"{name}: a class that does not exist")
        for name, outcome in outcomes.items():
            require(bool((outcome.broken_at >= NEVER).all()), f"{name}: broken at a point that does not exist")
        for name, last in self.last_steps.items():
            lost = bool((self.outcomes[name].survived & ~last.survived).any())
            require(not lost, f"{name}: wrong at the last step, and at no step")
        for name, origin in self.origins.items():
            named = isinstance(origin.attack, dict) and isinstance(origin.attack.get("name"), str)
            require(named and type(origin.seed) is int, f"{name}: by an attack without name or seed")


def _last(name: str) -> str:
    """Return what the columns of an attack's last step are called in the file."""
    return f"{name}.last-step"


def _on_cpu(outcome: Outcome) -> Outcome:
    return Outcome(*(column.cpu() for column in outcome))


def _check_shapes(file: TensorFile, wanted: set[str]) -> None:
    # Before anything is read: a stranger's file may hold more than memory does.
    require(file.shapes.keys() == wanted, f"expected {', '.join(sorted(wanted))}")
    shape = file.shapes["labels"]
    require(len(shape) == 1 and shape[0] > 0, "labels: expected one for each image")
    require(shape[0] * len(wanted) <= _MOST_NUMBERS, "more numbers than any evaluation has")
    require(all(each == shape for each in file.shapes.values()), "columns of different lengths")

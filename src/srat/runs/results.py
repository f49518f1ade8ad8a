"""The results that a run's folder holds of its evaluations."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from srat.core.errors import UserError, require, require_field
from srat.core.files import write_atomically
from srat.data import Dataset, Parts, hash_contents
from srat.evaluation.examples import Examples, Origin
from srat.evaluation.outcome import Outcome
from srat.evaluation.probabilities import Probabilities
from srat.evaluation.record import Evaluation
from srat.runs.folder import Portion, RunFolder, Which
from srat.runs.run import ModelFacts

TAKEN = ("best", "raw", "new", "within")
"""What names of results begin with that are of other weights, or of a part of the run's own test images."""
WAIT = 30.0
"""Seconds to wait for another process that is writing its results."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Examined:
    """The test images of a run, and the hash of what they were read from."""

    dataset: Dataset
    sha256: str
    part: Portion = None
    """Which images they are, where they are not all."""

    @classmethod
    def of(cls, dataset: Dataset, images: int | None = None) -> "Examined":
        """Return a test set as its source gives it, or the first images of each class, so many in all."""
        if images is not None and images < len(dataset):
            part = dataset.sample(images)
            return cls(dataset=part, sha256=hash_contents(part), part=images)
        return cls(dataset=dataset, sha256=hash_contents(dataset))

    @classmethod
    def among(
        cls, parts: Parts, images: int | None, *, new: bool, told: Callable[[str], None] = lambda _: None
    ) -> "Examined":
        """Return the test images of a run as far as they are there, or those that came since it began.

        Results on fewer images than the run recorded are kept apart from those on all.

        Args:
            parts: of the run's data.
            images: how many at the most, as many of each class.
            new: whether to take those that came since.
            told: called with what is left out.
        """
        if new:
            require(images is None, "`new_images` takes all of them: leave out `images`")
            return replace(cls.of(parts.unrecorded(told)), part="new")
        test = cls.of(parts.test(), images)
        return replace(test, part=len(test.dataset)) if parts.missing.get("test") and test.part is None else test

    @classmethod
    def called(cls, name: str, dataset: Dataset, images: int | None = None) -> "Examined":
        """Return another test set, whose results are kept apart under a name; or the first images of each class."""
        test = cls.of(dataset, images)
        return replace(test, part=name if test.part is None else f"{name}-{test.part}")

    def loaded(self) -> "Examined":
        """Return it with its images in memory, if they are to be there."""
        return replace(self, dataset=self.dataset.to("cpu"))


@dataclass(frozen=True, kw_only=True)
class Results:
    """The results in a run's folder, which the first process reads and writes, others' results at the same time too."""

    folder: RunFolder
    which: Which
    facts: ModelFacts
    test: Examined
    weights: str

    def so_far(self, notice: Callable[[str], None]) -> tuple[Evaluation, Examples]:
        """Return the evaluation, and what became of each image; what a killed process left out is put in."""
        with self.folder.locked(wait=WAIT):
            examples = self._examples(notice)
            evaluation = self._kept(examples)
        unknown = [name for name in evaluation.results if name not in examples.results()]
        if unknown:
            path = self.folder.evaluation(self.which, self.test.part)
            notice(f"{path}: the weights and images behind {', '.join(unknown)} are unknown")
        return evaluation, examples

    def with_outcome(self, name: str, outcome: Outcome, origin: Origin) -> Evaluation:
        """Put an outcome in, and return the evaluation."""
        with self.folder.locked(wait=WAIT):
            return self._kept(self._examples().with_outcome(name, outcome, origin))

    def with_last_step(self, name: str, last: Outcome, every: Outcome, origin: Origin) -> Evaluation:
        """Put in what an attack's last step made of the images, of which every step had made the one that is there.

        Raises:
            UserError: if another evaluation has replaced that meanwhile.
        """
        with self.folder.locked(wait=WAIT):
            examples = self._examples()
            same = examples.has(name, examples.with_outcome(name, every, origin))
            require(same, f"{name}: another evaluation has made this result anew meanwhile; evaluate again")
            return self._kept(examples.with_last_step(name, last))

    def with_probabilities(self, found: Probabilities) -> Evaluation:
        """Put in how good the model's probabilities are, and return the evaluation."""
        with self.folder.locked(wait=WAIT):
            return self._kept(replace(self._examples(), probabilities=found))

    def _kept(self, examples: Examples) -> Evaluation:
        path, part = self.folder.evaluation(self.which, self.test.part), self.test.part
        before, known = results_so_far(path, self.facts), examples.results()
        others = {name: result for name, result in before.results.items() if name not in known}
        evaluation = replace(before, results={**others, **known})  # in this order: the worst case comes last
        if examples.outcomes:
            examples.write(self.folder.examples(self.which, part))
            write_atomically(path, evaluation.to_json())
        return evaluation

    def _examples(self, notice: Callable[[str], None] = lambda _: None) -> Examples:
        """Return what the folder holds of each image; nothing at first."""
        examples = Examples(
            labels=self.test.dataset.labels.cpu(),
            class_names=self.test.dataset.class_names,
            test=self.test.sha256,
            weights=self.weights,
        )
        # The best epoch may be the last: what is known of the one's weights is known of the other's.
        try:
            twin = self._read("best" if self.which == "last" else "last")
        except UserError as error:
            notice(f"{error} (it is not needed here)")
            twin = None
        if twin is not None and (twin.test, twin.weights) == (examples.test, examples.weights):
            examples = examples.with_all_of(twin)
        own = self._read(self.which)
        if own is None:
            return examples
        folder, part = self.folder, self.test.part
        for what, kept, now in (("test images", own.test, examples.test), ("weights", own.weights, examples.weights)):
            require(
                kept == now,
                f"{folder.examples(self.which, part)}: these results are of other {what} (SHA-256 {kept[:8]}…, now "
                f"{now[:8]}…), and cannot stand beside new ones: remove it and "
                f"{folder.evaluation(self.which, part).name} to evaluate anew",
            )
        require(
            torch.equal(own.labels, examples.labels),
            f"{folder.examples(self.which, part)}: its labels are not those of the test images; remove it",
        )
        return examples.with_all_of(own)

    def _read(self, which: Which) -> Examples | None:
        path = self.folder.examples(which, self.test.part)
        return Examples.read(path) if path.exists() else None


def check_name(name: str) -> None:
    """Raise ``UserError`` if no file can be called so, or results are that are of the run's own test images."""
    wanted = f"letters, digits, '.', '-' and '_', a letter first, and not {', '.join(TAKEN)} as its first word"
    free = re.fullmatch(r"[A-Za-z][\w.-]*", name, re.ASCII) is not None and name.split("-")[0] not in TAKEN
    require_field(free, "name", wanted, name)


def results_so_far(path: Path, facts: ModelFacts) -> Evaluation:
    """Return the results that a file holds; none at first.

    Raises:
        UserError: if they are of another run.
    """
    if not path.exists():
        return Evaluation(class_names=facts.class_names, train_counts=facts.train_counts)
    evaluation = Evaluation.read(path)
    of_this_run = (evaluation.class_names, evaluation.train_counts) == (facts.class_names, facts.train_counts)
    require(of_this_run, f"{path}: this evaluation is of another run; remove it to evaluate anew")
    return evaluation

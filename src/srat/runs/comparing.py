"""Runs side by side: which can be paired image by image, and which differ in their seed alone."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srat.attacks.named import named
from srat.config.config import Config
from srat.core.checked import checked
from srat.core.errors import UserError, require
from srat.core.tensor_file import digest_of
from srat.evaluation.comparison import Comparison, Contender, Scope, compare, means_of
from srat.evaluation.examples import Examples
from srat.evaluation.groups import AnyGroups, grouped
from srat.evaluation.record import Evaluation, Result
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import how_to_evaluate
from srat.statistics.intervals import Mean


@dataclass(frozen=True, kw_only=True)
class EvaluatedRun:
    """A run, and what became of each image."""

    path: str
    config: Config
    evaluation: Evaluation
    examples: Examples


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """Runs, each with what became of each image, and what follows from that."""

    runs: Sequence[EvaluatedRun]
    first: Contender
    """The run that the others are compared with; runs that differ by their seed alone are one contender."""
    others: Sequence[Contender]
    """None, if all runs differ by their seed alone."""
    groups: AnyGroups
    rows: Sequence[Sequence[Comparison]]
    """Of each of the others: under each attack overall, by group and by class."""

    @property
    def attacks(self) -> Sequence[str]:
        """The results that are compared, by their names."""
        return list(self.first.survived)

    def means(self, attack: str) -> list[tuple[Scope, Mean]]:
        """Return the first contender's mean accuracy under an attack: overall, by group, by class."""
        one = self.runs[0]
        return means_of(self.first, attack, one.examples.labels.numpy(), one.evaluation.class_names, self.groups)

    def to_json(self) -> str:
        """Return the comparisons as JSON; of seeds alone their means."""
        return json.dumps(self.to_plain(), indent=2, ensure_ascii=False) + "\n"

    def to_plain(self) -> list[Mapping[str, Any]]:
        """Return the comparisons, or the means of seeds alone, as JSON-able values."""
        return self._compared() if self.others else self._means()

    def _compared(self) -> list[Mapping[str, Any]]:
        return [
            {
                "attack": row.attack,
                "scope": row.scope,
                "is_class": row.is_class,
                "images": row.images,
                "first": {"name": self.first.name, "seeds": self.first.seeds, **_mean_json(row.first)},
                "second": {"name": other.name, "seeds": other.seeds, **_mean_json(row.second)},
                **row.difference._asdict(),
                "corrected_p": row.corrected,
                "only_first": row.only_first,
                "only_second": row.only_second,
            }
            for other, of_other in zip(self.others, self.rows, strict=True)
            for row in of_other
        ]

    def _means(self) -> list[Mapping[str, Any]]:
        return [
            {
                "attack": attack,
                "scope": scope.name,
                "is_class": scope.is_class,
                "images": int(scope.chosen.sum()),
                "name": self.first.name,
                "seeds": self.first.seeds,
                **_mean_json(mean),
            }
            for attack in self.attacks
            for scope, mean in self.means(attack)
        ]


@checked
def compare_runs(
    paths: Sequence[Path | str],
    *,
    attacks: Sequence[str] = (),
    which: Which = "last",
    images: int | None = None,
    groups: str = "half",
) -> RunComparison:
    """Compare evaluated runs image by image: the first with each other one, overall, by group and by class.

    Args:
        paths: the runs' folders, at least two; those whose configurations differ only in the seed are taken together.
        attacks: the results to compare, by their names or by the words of their attacks; by default all common ones.
        which: the weights that were evaluated, "last" or "best".
        images: test images that they were evaluated on; None for all.
        groups: of classes: "half" (the paper's), "thirds", "rarest-80", "many-medium-few", or classes with commas
            between them.

    Raises:
        UserError: if a run is not evaluated so, they cannot be paired, or there are no such groups.
    """
    require(len(paths) >= 2, f"expected the folders of at least two runs, got {len(paths)}")
    runs = [read_evaluated(str(path), which, images) for path in paths]
    check_alike(runs)
    together = groups_of(runs, groups)
    first, *others = contenders_of(runs, common_attacks(runs, attacks))
    one = runs[0]
    labels, evaluation = one.examples.labels.numpy(), one.evaluation
    rows = compare(first, others, labels, evaluation.class_names, together)
    return RunComparison(runs=runs, first=first, others=others, groups=together, rows=rows)


def check_alike(runs: Sequence[EvaluatedRun]) -> None:
    """Raise ``UserError`` unless all runs were evaluated on the same images."""
    one = runs[0]
    for other in runs[1:]:
        require(
            (one.examples.test, one.examples.class_names) == (other.examples.test, other.examples.class_names)
            and torch.equal(one.examples.labels, other.examples.labels),
            f"'{one.path}' and '{other.path}' were evaluated on different test images, which cannot be paired",
        )


def groups_of(runs: Sequence[EvaluatedRun], definition: str) -> AnyGroups:
    """Return the groups of classes, or raise ``UserError`` if they are not the same in all runs."""
    found = [grouped(definition, run.evaluation.train_counts, run.evaluation.class_names) for run in runs]
    for run, own in zip(runs, found, strict=True):
        differ = f"'{runs[0].path}' and '{run.path}' differ in which classes are rare ({definition})"
        require(own.named == found[0].named, differ)
    return found[0]


def common_attacks(runs: Sequence[EvaluatedRun], wanted: Sequence[str]) -> list[str]:
    """Return the results that all runs have, under the same attack; those wanted, if any are.

    Raises:
        UserError: if there are none, or one that is wanted is not among them.
    """
    results = [run.examples.results() for run in runs]
    common = [name for name in results[0] if under_same_attack(name, results)]
    there = "; ".join(f"'{run.path}' has {', '.join(own)}" for run, own in zip(runs, results, strict=True))
    require(bool(common), f"the runs have no result in common (under the same attack, ε and steps): {there}")
    chosen = [name if name in common else result_meant(name, runs[0].config) for name in wanted]
    missing = "".join([name for name, found in zip(wanted, chosen, strict=True) if found not in common][:1])
    require(not missing, f"`attack` {missing}: not every run has this result, or by another attack: {there}")
    return list(dict.fromkeys(chosen)) or common


def under_same_attack(name: str, results: Sequence[Mapping[str, Result]]) -> bool:
    """Return whether all runs have a result, under the same attack; of a worst case, under the same attacks.

    Args:
        name: the result's.
        results: of each run, by name.
    """
    attacks = [each[name].attack if name in each else None for each in results]
    first = attacks[0]
    if first is None or any(attack != first for attack in attacks):
        return False
    return all(under_same_attack(each, results) for each in first.get("of", ()))


def result_meant(word: str, config: Config) -> str:
    """Return what the result under the attack that a word means is called; "" if it means none.

    Args:
        word: as for `named`.
        config: the run's, whose own threat model gives what the word does not say.
    """
    try:
        return named(word, config.evaluation).label
    except UserError:
        return ""


def contenders_of(runs: Sequence[EvaluatedRun], attacks: Sequence[str]) -> list[Contender]:
    """Return the contenders, in the order of the runs; runs that differ by their seed alone are one.

    Raises:
        UserError: if one has a seed twice, or their seeds differ where there are several.
    """
    alike: dict[str, list[EvaluatedRun]] = defaultdict(list)
    for each in runs:
        alike[replace(each.config, seed=0).id].append(each)
    together = [sorted(members, key=lambda each: each.config.seed) for members in alike.values()]
    seeds = [tuple(each.config.seed for each in members) for members in together]
    for members, own in zip(together, seeds, strict=True):
        twice = len(set(own)) < len(own)
        require(not twice, f"the same configuration and seed twice: {', '.join(each.path for each in members)}")
        require(
            own == seeds[0] or len(own) == len(seeds[0]) == 1,
            f"expected the same seeds of each, got {_said(seeds[0])} of '{together[0][0].path}' and {_said(own)} of "
            f"'{members[0].path}' (runs whose configurations differ only in the seed are taken together)",
        )
    names = [_name(members, together) for members in together]
    return [
        Contender(
            name=name,
            seeds=own,
            survived={
                attack: np.stack([each.examples.survived_result(attack).numpy() for each in members])
                for attack in attacks
            },
        )
        for name, own, members in zip(names, seeds, together, strict=True)
    ]


def read_evaluated(path: str, which: Which, images: int | None) -> EvaluatedRun:
    """Return a run with its evaluation and what became of each image.

    Args:
        path: the run's folder.
        which: the weights that were evaluated.
        images: test images that they were evaluated on; None for all.

    Raises:
        UserError: if it is not evaluated so.
    """
    folder = RunFolder(Path(path))
    require(folder.exists, f"'{path}' is not a run's folder: there is no config.json in it")
    evaluation, examples = folder.evaluation(which, images), folder.examples(which, images)
    options = ("" if which == "last" else f" --weights {which}") + ("" if images is None else f" --images {images}")
    there = ", ".join(sorted(file.name for file in folder.path.glob("examples*.safetensors"))) or "none"
    for file in (evaluation, examples):
        advice = f"{how_to_evaluate(folder, options)} (there is: {there})"
        require(file.exists(), f"there is no {file.name} in '{path}': {advice}")
    known, weights = Examples.read(examples), folder.weights(which)
    said = f"{examples}: these results are not of the weights in {weights.name} beside them"
    require(not weights.exists() or known.weights == digest_of(weights), said)
    return EvaluatedRun(
        path=path,
        config=Config.read(folder.config, opening=True),
        evaluation=Evaluation.read(evaluation),
        examples=known,
    )


def _name(members: Sequence[EvaluatedRun], together: Sequence[Sequence[EvaluatedRun]]) -> str:
    methods = [each[0].config.method for each in together]
    own = members[0].config.method
    if methods.count(own) == 1:
        return own
    return f"{own} ({members[0].path})"


def _mean_json(mean: Mean) -> dict[str, float | None]:
    # JSON has no NaN: the spread of one seed is null.
    return {name: None if math.isnan(value) else value for name, value in mean._asdict().items()}


def _said(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))

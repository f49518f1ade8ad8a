"""Runs side by side: which can be paired image by image, and which differ in their seed alone."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from srat.config.config import Config
from srat.core.errors import require
from srat.core.tensor_file import digest_of
from srat.evaluation.comparison import Contender
from srat.evaluation.examples import Examples
from srat.evaluation.record import Evaluation
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import how_to_evaluate


@dataclass(frozen=True, kw_only=True)
class EvaluatedRun:
    """A run, and what became of each image."""

    path: str
    config: Config
    evaluation: Evaluation
    examples: Examples


def check_alike(runs: Sequence[EvaluatedRun]) -> None:
    """Raise ``UserError`` unless all runs were evaluated on the same images, and have the same groups."""
    one = runs[0]
    for other in runs[1:]:
        require(
            (one.examples.test, one.examples.class_names) == (other.examples.test, other.examples.class_names)
            and torch.equal(one.examples.labels, other.examples.labels),
            f"'{one.path}' and '{other.path}' were evaluated on different test images, which cannot be paired",
        )
        require(
            one.evaluation.groups == other.evaluation.groups,
            f"'{one.path}' and '{other.path}' differ in which classes are under-represented",
        )


def common_attacks(runs: Sequence[EvaluatedRun], wanted: Sequence[str]) -> list[str]:
    """Return the results that all runs have, under the same attack; those wanted, if any are.

    Raises:
        UserError: if there are none, or one that is wanted is not among them.
    """
    results = [run.examples.results() for run in runs]
    common = [
        name
        for name, result in results[0].items()
        if all(name in others and others[name].attack == result.attack for others in results)
    ]
    there = "; ".join(f"'{run.path}' has {', '.join(own)}" for run, own in zip(runs, results, strict=True))
    require(bool(common), f"the runs have no result in common (under the same attack, ε and steps): {there}")
    missing = "".join([name for name in wanted if name not in common][:1])
    require(not missing, f"`attack` {missing}: not every run has this result, or by another attack: {there}")
    return list(dict.fromkeys(wanted)) or common


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
    options = ("" if which == "last" else " --weights best") + ("" if images is None else f" --images {images}")
    there = ", ".join(sorted(file.name for file in folder.path.glob("examples*.safetensors"))) or "none"
    for file in (evaluation, examples):
        advice = f"{how_to_evaluate(folder, options)} (there is: {there})"
        require(file.exists(), f"there is no {file.name} in '{path}': {advice}")
    known, weights = Examples.read(examples), folder.weights(which)
    said = f"{examples}: these results are not of the weights in {weights.name} beside them"
    require(not weights.exists() or known.weights == digest_of(weights), said)
    return EvaluatedRun(
        path=path,
        config=Config.read(folder.config),
        evaluation=Evaluation.read(evaluation),
        examples=known,
    )


def _name(members: Sequence[EvaluatedRun], together: Sequence[Sequence[EvaluatedRun]]) -> str:
    methods = [each[0].config.method for each in together]
    own = members[0].config.method
    if methods.count(own) == 1:
        return own
    return f"{own} ({members[0].path})"


def _said(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))

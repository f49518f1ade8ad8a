"""The command ``srat compare``."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from srat.cli.parsing import parse
from srat.config.config import Config
from srat.core.errors import UserError, printable, require
from srat.core.files import write_atomically
from srat.core.tensor_file import digest_of
from srat.evaluation.comparison import SEEDS_ALONE, Comparison, Contender, caveat, compare, means_of, sentences
from srat.evaluation.examples import Examples
from srat.evaluation.record import Evaluation
from srat.report.terminal.comparison import comparison_table, means_table
from srat.report.terminal.live import make_console
from srat.report.terminal.scopes import print_whole
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import how_to_evaluate
from srat.statistics.intervals import Mean


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare runs image by image: the first with each other one, overall, by group and by class.

    Runs whose configurations differ only in the seed are taken together; if all do, their mean is shown. Evaluate each
    run first, on the same images ('srat evaluate').
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN RUN …")] = ()
    """The runs' folders, at least two."""
    attack: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Results to compare, by their names in evaluation.json; by default all that every run has."""
    weights: Which = "last"
    """The weights of the last epoch, or of the best on the held-out part."""
    images: int | None = None
    """Compare the evaluations on this many test images (srat evaluate --images)."""
    json: Path | None = None
    """Also write the comparisons to this file."""


@dataclass(frozen=True, kw_only=True)
class _Evaluated:
    """A run, and what became of each image."""

    path: str
    config: Config
    evaluation: Evaluation
    examples: Examples


def run(args: list[str]) -> int:
    """Compare, print tables and what follows from them; return the exit code."""
    arguments = parse(Arguments, args, command="compare", default=Arguments())
    if arguments.json is not None:
        require(arguments.json.parent.is_dir(), f"--json: there is no folder '{arguments.json.parent}'")
    runs = [_read(path, arguments.weights, arguments.images) for path in arguments.runs]
    require(len(runs) >= 2, f"srat compare: expected the folders of at least two runs, got {len(runs)}")
    check_alike(runs)
    contenders = contenders_of(runs, common_attacks(runs, arguments.attack))
    first, *others = contenders
    examples, evaluation = runs[0].examples, runs[0].evaluation
    console = make_console()
    if not others:
        for attack in first.survived:
            means = means_of(first, attack, examples.labels.numpy(), evaluation.class_names, evaluation.groups)
            print_whole(console, means_table(means, f"{first.name}, {len(first.seeds)} seeds, {attack}", evaluation))
        console.print(SEEDS_ALONE, highlight=False)
        if arguments.json is not None:
            write_atomically(arguments.json, means_json(first, examples, evaluation))
        return 0
    rows = compare(first, others, examples.labels.numpy(), evaluation.class_names, evaluation.groups)
    for other, of_other in zip(others, rows, strict=True):
        for attack in first.survived:
            chosen = [row for row in of_other if row.attack == attack]
            print_whole(console, comparison_table(chosen, first.name, other.name, evaluation))
        for sentence in sentences(of_other, first.name, other.name):
            console.print(printable(sentence), highlight=False, markup=False, soft_wrap=True)
    for said in beside_the_method(runs):
        console.print(said, style="yellow", highlight=False, markup=False, soft_wrap=True)
    count = sum(map(len, rows))
    console.print(caveat(len(first.seeds)), highlight=False, markup=False, soft_wrap=True)
    console.print(f"p is corrected for all {count} comparisons (Holm); each interval is for one.", highlight=False)
    if len(first.seeds) == 1:
        console.print("p is exact (McNemar), intervals are not (Tango): close to the border they may disagree.")
    if arguments.json is not None:
        write_atomically(arguments.json, to_json(first, others, rows))
    return 0


def findings_of(paths: Sequence[str]) -> list[str]:
    """Return in plain words what follows from comparing the first run with each other one; why not, where nothing can.

    Args:
        paths: the runs' folders, two at the least.
    """
    try:
        runs = [_read(path, "last", None) for path in paths]
        check_alike(runs)
        first, *others = contenders_of(runs, common_attacks(runs, ()))
    except UserError as error:
        return [f"Not compared image by image: {error}."]
    one = runs[0]
    rows = compare(first, others, one.examples.labels.numpy(), one.evaluation.class_names, one.evaluation.groups)
    said = [
        sentence
        for other, found in zip(others, rows, strict=True)
        for sentence in sentences(found, first.name, other.name)
    ]
    return [*said, *beside_the_method(runs), caveat(len(first.seeds))] if others else [SEEDS_ALONE]


_METHOD = ("loss", "weighting", "feature_loss", "schedule.reweight_from", "head", "attack ")
"""Where configurations of two methods differ."""


def beside_the_method(runs: Sequence[_Evaluated]) -> list[str]:
    """Return in what the runs differ from the first one beside method and seed, for that may be what is seen."""
    one = runs[0]
    said: dict[str, str] = {}
    for each in runs[1:]:
        found = replace(one.config, seed=each.config.seed).differences(each.config)
        other = ", ".join(line for line in found if not line.startswith(_METHOD))
        said.setdefault(other, f"'{one.path}' and '{each.path}' differ in more than the method: {printable(other)}.")
    return [sentence for other, sentence in said.items() if other]


def check_alike(runs: Sequence[_Evaluated]) -> None:
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


def common_attacks(runs: Sequence[_Evaluated], wanted: Sequence[str]) -> list[str]:
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
    require(not missing, f"--attack {missing}: not every run has this result, or by another attack: {there}")
    return list(dict.fromkeys(wanted)) or common


def contenders_of(runs: Sequence[_Evaluated], attacks: Sequence[str]) -> list[Contender]:
    """Return the contenders, in the order of the runs; runs that differ by their seed alone are one.

    Raises:
        UserError: if one has a seed twice, or their seeds differ where there are several.
    """
    alike: dict[str, list[_Evaluated]] = defaultdict(list)
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


def to_json(first: Contender, others: Sequence[Contender], rows: Sequence[Sequence[Comparison]]) -> str:
    """Return the comparisons as JSON."""
    content = [
        {
            "attack": row.attack,
            "scope": row.scope,
            "is_class": row.is_class,
            "images": row.images,
            "first": {"name": first.name, "seeds": first.seeds, **_mean_json(row.first)},
            "second": {"name": other.name, "seeds": other.seeds, **_mean_json(row.second)},
            **row.difference._asdict(),
            "corrected_p": row.corrected,
            "only_first": row.only_first,
            "only_second": row.only_second,
        }
        for other, of_other in zip(others, rows, strict=True)
        for row in of_other
    ]
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def means_json(contender: Contender, examples: Examples, evaluation: Evaluation) -> str:
    """Return the means of several seeds as JSON."""
    content = [
        {
            "attack": attack,
            "scope": scope.name,
            "is_class": scope.is_class,
            "images": int(scope.chosen.sum()),
            "name": contender.name,
        }
        | {"seeds": contender.seeds, **_mean_json(mean)}
        for attack in contender.survived
        for scope, mean in means_of(
            contender, attack, examples.labels.numpy(), evaluation.class_names, evaluation.groups
        )
    ]
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _mean_json(mean: Mean) -> dict[str, float | None]:
    # JSON has no NaN: the spread of one seed is null.
    return {name: None if math.isnan(value) else value for name, value in mean._asdict().items()}


def _read(path: str, which: Which, images: int | None) -> _Evaluated:
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
    return _Evaluated(
        path=path,
        config=Config.read(folder.config),
        evaluation=Evaluation.read(evaluation),
        examples=known,
    )


def _name(members: Sequence[_Evaluated], together: Sequence[Sequence[_Evaluated]]) -> str:
    methods = [each[0].config.method for each in together]
    own = members[0].config.method
    if methods.count(own) == 1:
        return own
    return f"{own} ({members[0].path})"


def _said(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))

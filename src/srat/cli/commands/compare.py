"""The command ``srat compare``."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.core.errors import printable, require
from srat.core.files import write_atomically
from srat.evaluation.comparison import Comparison, Contender, compare, means_of
from srat.evaluation.examples import Examples
from srat.evaluation.record import Evaluation
from srat.report.findings import beside_the_method
from srat.report.terminal.comparison import comparison_table, means_table
from srat.report.terminal.scopes import print_whole
from srat.report.wording import SEEDS_ALONE, caveat, sentences
from srat.runs.comparing import check_alike, common_attacks, contenders_of, read_evaluated
from srat.runs.folder import Which
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
    """The weights of the last epoch, of the best on the held-out part, or (raw) of the last one before averaging."""
    images: int | None = None
    """Compare the evaluations on this many test images (srat evaluate --images)."""
    json: Path | None = None
    """Also write the comparisons to this file."""


def run(args: list[str]) -> int:
    """Compare, print tables and what follows from them; return the exit code."""
    arguments = parse(Arguments, args, command="compare", default=Arguments())
    if arguments.json is not None:
        require(arguments.json.parent.is_dir(), f"--json: there is no folder '{arguments.json.parent}'")
    runs = [read_evaluated(path, arguments.weights, arguments.images) for path in arguments.runs]
    require(len(runs) >= 2, f"srat compare: expected the folders of at least two runs, got {len(runs)}")
    check_alike(runs)
    contenders = contenders_of(runs, common_attacks(runs, arguments.attack))
    first, *others = contenders
    examples, evaluation = runs[0].examples, runs[0].evaluation
    console = make_console("compare")
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

"""The command ``srat compare``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.core.errors import printable, require
from srat.core.files import write_atomically
from srat.report.comparisons import comparison_sheets
from srat.report.findings import beside_the_method
from srat.report.formats import TEXT, check_format, written
from srat.report.terminal.comparison import comparison_table, means_table
from srat.report.terminal.scopes import print_whole
from srat.report.wording import SEEDS_ALONE, caveat, sentences
from srat.runs.comparing import RunComparison, compare_runs
from srat.runs.folder import Which


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare runs image by image: the first with each other one, overall, by group and by class.

    Runs whose configurations differ only in the seed are taken together; if all do, their mean is shown. Evaluate each
    run first, on the same images ('srat evaluate').
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN RUN …")] = ()
    """The runs' folders, at least two."""
    attack: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Results to compare, by their names in evaluation.json or as for srat evaluate; by default all that every run
    has."""
    weights: Which = "last"
    """The weights of the last epoch, of the best on the held-out part, or (raw) of the last one before averaging."""
    groups: str = "half"
    """Groups of classes by training images: half (the paper's), thirds, rarest-80, many-medium-few, or classes with
    commas between them."""
    images: int | None = None
    """Compare the evaluations on this many test images (srat evaluate --images)."""
    format: str = TEXT
    """What to print: text, or the tables alone as csv, json, latex or markdown."""
    json: Path | None = None
    """Also write the comparisons to this file."""


def run(args: list[str]) -> int:
    """Compare, print tables and what follows from them; return the exit code."""
    arguments = parse(Arguments, args, command="compare", default=Arguments())
    check_format(arguments.format)
    if arguments.json is not None:
        require(arguments.json.parent.is_dir(), f"--json: there is no folder '{arguments.json.parent}'")
    count = len(arguments.runs)
    require(count >= 2, f"srat compare: expected the folders of at least two runs, got {count}")
    found = compare_runs(
        arguments.runs,
        attacks=arguments.attack,
        which=arguments.weights,
        images=arguments.images,
        groups=arguments.groups,
    )
    console = make_console("compare", stderr=arguments.format != TEXT)
    if arguments.format == TEXT:
        show = show_differences if found.others else show_means
        show(found, console)
    elif arguments.format == "json":
        print(found.to_json(), end="")
    else:
        print(written(comparison_sheets(found), arguments.format), end="")
    for note in found.groups.notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    if arguments.json is not None:
        write_atomically(arguments.json, found.to_json())
    return 0


def show_means(found: RunComparison, console: Console) -> None:
    """Print the means of runs that differ by their seed alone."""
    first, evaluation = found.first, found.runs[0].evaluation
    for attack in found.attacks:
        title = f"{first.name}, {len(first.seeds)} seeds, {attack}"
        print_whole(console, means_table(found.means(attack), title, evaluation, found.groups))
    console.print(SEEDS_ALONE, highlight=False)


def show_differences(found: RunComparison, console: Console) -> None:
    """Print tables of differences, and what follows from them."""
    first, evaluation = found.first, found.runs[0].evaluation
    for other, of_other in zip(found.others, found.rows, strict=True):
        for attack in found.attacks:
            chosen = [row for row in of_other if row.attack == attack]
            print_whole(console, comparison_table(chosen, first.name, other.name, evaluation, found.groups))
        for sentence in sentences(of_other, first.name, other.name):
            console.print(printable(sentence), highlight=False, markup=False, soft_wrap=True)
    for said in beside_the_method(found.runs):
        console.print(said, style="yellow", highlight=False, markup=False, soft_wrap=True)
    count = sum(map(len, found.rows))
    console.print(caveat(len(first.seeds)), highlight=False, markup=False, soft_wrap=True)
    console.print(f"p is corrected for all {count} comparisons (Holm); each interval is for one.", highlight=False)
    if len(first.seeds) == 1:
        console.print("p is exact (McNemar), intervals are not (Tango): close to the border they may disagree.")

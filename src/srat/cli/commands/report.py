"""The command ``srat report``, of runs, or of a table or figure of the paper."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.cli.recipes import RecipeChoice, described_choice, read_base
from srat.config.config import Config
from srat.core.errors import nearest, printable, require
from srat.core.files import write_atomically
from srat.core.signals import deferring_signals
from srat.core.words import few
from srat.grid.definition import is_grid
from srat.grid.plan import planned
from srat.recipes.catalogue import names, recipe, summary
from srat.recipes.scales import LARGEST_RATIO
from srat.report.formats import ENDINGS, TEXT, check_format, formats, written
from srat.report.grids import collect_grid, notes_of, sheet_of
from srat.report.paper.outcome import Outcome, collect
from srat.report.paper.page import make_page
from srat.report.terminal.live import LiveObserver
from srat.report.terminal.scopes import print_whole
from srat.runs.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """Show a run, or several side by side, as one self-contained HTML page.

    Given the name of a recipe instead of a run, such as table1 or field, show that table, figure or study, made from
    your runs: 'srat report table1 --help'. Given the folder of a grid of your own, show its table,
    with --format NAME as text, csv, json, latex or markdown.
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN …")] = ()
    """The runs' folders."""
    out: Path | None = None
    """File to write; by default report.html in the run's folder, or in the current one for several runs."""
    data_dir: Path | None = None
    """Where the data's files are; as in training unless given."""
    map: bool = True
    """Draw the map of training features if there is none yet (takes seconds per run)."""
    groups: str = "half"
    """Groups of classes: half, thirds, rarest-80, many-medium-few, or classes with commas between them."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


@dataclass(frozen=True, kw_only=True)
class RecipeArguments:
    """Show a table or figure of the paper, or a study of our own, made from your runs, and which of its claims hold.

    Beside them stand the paper's numbers, where it has any.

    The files are Markdown, CSV, LaTeX, SVG and PNG. Means are over all seeds from 0 to 19 that have a run.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE", help=f"{summary()}.")] = ""
    choice: Annotated[RecipeChoice, tyro.conf.arg(name="")] = RecipeChoice()
    out: Path | None = None
    """Folder for the files; by default reports/SCALE-DATA."""


@dataclass(frozen=True, kw_only=True)
class GridArguments:
    """Show the table of a grid of your own: what varies, and mean ± standard deviation over the seeds.

    A best value is bold only where it is above every other row by more than chance explains. The table is written to
    files as well: Markdown, CSV with intervals, LaTeX (booktabs) and JSON.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = Path()
    """The folder of the grid's runs."""
    format: str = TEXT
    """What to print: text, or the table alone as csv, json, latex or markdown."""
    out: Path | None = None
    """Folder for the files; by default that of the runs."""


def run(args: list[str]) -> int:
    """Show runs, a grid, or a table or figure of the paper; return the exit code."""
    if any(word in names() for word in args):
        return show_recipe(args)
    others = [word for before, word in zip(["", *args], args, strict=False) if before != "--out"]
    return show_grid(args) if any(is_grid(Path(word)) for word in others) else show_runs(args)


def show_grid(args: list[str]) -> int:
    """Print the table of a grid and write it to files; return the exit code."""
    arguments = parse(GridArguments, args, command="report", default=GridArguments())
    check_format(arguments.format)
    out = arguments.out or arguments.folder
    require(not out.is_file(), f"--out: expected a folder, '{out}' is a file")
    outcome = collect_grid(arguments.folder)
    sheet = sheet_of(outcome)
    texts = {name: written([sheet], name) for name in formats() if name != TEXT}
    out.mkdir(parents=True, exist_ok=True)
    files = {name: out / f"table.{ENDINGS.get(name, name)}" for name in texts}
    for name, file in files.items():
        write_atomically(file, texts[name])
    console = make_console("report", stderr=arguments.format != TEXT)
    if arguments.format == TEXT:
        print_whole(console, sheet.to_rich())
    else:
        print(texts[arguments.format], end="")
    for note in notes_of(outcome):
        console.print(note, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if arguments.format == TEXT:
        console.print(f"Written: {', '.join(map(str, files.values()))}", highlight=False, markup=False, soft_wrap=True)
    return 0


def show_runs(args: list[str]) -> int:
    """Write the page; return the exit code."""
    arguments = parse(RunArguments, args, command="report", default=RunArguments())
    require(len(arguments.runs) > 0, "srat report: expected the folder of a run, or the name of a table or figure")
    for each in arguments.runs:
        there = RunFolder(Path(each)).exists
        require(there, f"'{each}' is neither a run's folder nor a table or figure{nearest(each, names())}")
    from srat.report.pages import report_runs  # which takes as long to import as torch

    console = make_console("report")
    with deferring_signals() as interruption, LiveObserver(console, interruption.check, lines=False) as observer:
        file = report_runs(
            arguments.runs,
            out=arguments.out,
            data_dir=arguments.data_dir,
            draw_map=arguments.map,
            groups=arguments.groups,
            device=arguments.device,
            observer=observer,
            told=lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True),
        )
    console.print(f"The page is in {printable(str(file))}", highlight=False, markup=False, soft_wrap=True)
    return 0


def show_recipe(args: list[str]) -> int:
    """Print the tables and write the files; return the exit code."""
    arguments = parse(RecipeArguments, args, command="report", default=RecipeArguments())
    found, choice = recipe(arguments.name), arguments.choice
    base = read_base(found, choice)
    cells = planned(found, base, choice.filter)
    exactly = choice.precision is not None
    outcome = collect(arguments.name, found, cells, choice.runs, scale=choice.scale, exactly=exactly)
    again = described_choice("grid", arguments.name, choice)
    if found.kind != "distribution":
        said = f"there is no finished run of {arguments.name} in '{choice.runs}': '{again}' makes them"
        require(outcome.seeds[1] > 0, said)
    out = arguments.out or Path("reports") / f"{choice.scale}-{cells[0].config.data.name}"
    require(not out.is_file(), f"--out: expected a folder, '{out}' is a file")
    page = make_page(outcome)
    console = make_console("report")
    for sheet in [*page.sheets, *([page.claims] if page.claims else [])]:
        print_whole(console, sheet.to_rich())
    files = page.write(out, about(outcome, base))
    for text in outcome.damaged:
        console.print(f"left out: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    if missing := outcome.missing if found.kind != "distribution" else []:
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        text = f"{len(missing)} of {len(cells)} cells are missing ({some}): '{again}' makes them"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    if unjudged := outcome.unjudged:
        several = ", ".join((cells[0].config.evaluation.label, *found.attacks))
        text = f"no worst case of {several}, and these alone, for {few(unjudged)}; '{again}' makes them"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    console.print(f"Written: {', '.join(map(str, files))}", highlight=False, markup=False, soft_wrap=True)
    return 0


def about(outcome: Outcome, base: Config) -> str:
    """Return what the runs were, in a sentence or two.

    Args:
        outcome: the runs'.
        base: what they started from.
    """
    config = outcome.cells[0].config
    ratio = getattr(base.imbalance, "ratio", LARGEST_RATIO)
    stand_in = "" if ratio == LARGEST_RATIO else f", a ratio of {ratio:g} for the paper's {LARGEST_RATIO:g}"
    if outcome.recipe.kind == "distribution":
        return f"Of {config.data.name}, at the {outcome.scale} scale{stand_in}."
    least, most = outcome.seeds
    seeds = "1 seed" if most == 1 else f"{most} seeds" if least == most else f"{least} to {most} seeds"
    width = getattr(config.model, "width", None)
    of = f" ({' and '.join(outcome.class_names)})" if config.data.classes else ""
    model = config.model.name + (f" of width {width}" if width else "")
    arithmetic = "" if outcome.precisions == ["fp32"] else f" in {' and '.join(outcome.precisions)}"
    return (
        f"Scale {outcome.scale}: {config.data.name}{of}{stand_in}, {model}, {config.epochs} epochs{arithmetic}, "
        f"ε = {config.evaluation.epsilon:.4g}, {config.evaluation.label}, the last epoch; {seeds}."
    )

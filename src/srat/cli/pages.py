"""What ``srat report RUN …`` does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.core.errors import nearest, printable, require
from srat.core.signals import deferring_signals
from srat.recipes.catalogue import names
from srat.report.terminal.live import LiveObserver
from srat.runs.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Show a run, or several side by side, as one self-contained HTML page.

    Given the name of a recipe instead of a run (table1 to table4, figure1 to figure14, separation), show that table or
    figure of the paper, made from your runs: 'srat report table1 --help'.
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN …")] = ()
    """The runs' folders."""
    out: Path | None = None
    """File to write; by default report.html in the run's folder, or in the current one for several runs."""
    data_dir: Path | None = None
    """Where the data's files are; as in training unless given."""
    map: bool = True
    """Draw the map of training features if there is none yet (takes seconds per run)."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


def run(args: list[str]) -> int:
    """Write the page; return the exit code."""
    arguments = parse(Arguments, args, command="report", default=Arguments())
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
            device=arguments.device,
            observer=observer,
            told=lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True),
        )
    say_where(file, console)
    return 0


def say_where(page: Path, console: Console) -> None:
    """Say where a page is."""
    console.print(f"The page is in {printable(str(page))}", highlight=False, markup=False, soft_wrap=True)

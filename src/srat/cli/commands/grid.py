"""The command ``srat grid``."""

import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import tyro
from rich.text import Text

from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.cli.recipes import RecipeChoice, described_choice, read_base
from srat.core.errors import printable, require
from srat.core.signals import Interrupted, deferring_signals
from srat.grid.engine import Executor, Failure, is_finished, run_grid
from srat.grid.local import Serial
from srat.grid.on_ray import OnRay
from srat.grid.plan import jobs_of, planned
from srat.recipes.catalogue import recipe, summary
from srat.report.terminal.board import Board
from srat.report.terminal.listing import Listing
from srat.report.terminal.scopes import print_whole, titled_table

FAILED = 3
"""Exit code if a run has failed."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train and evaluate the missing runs behind a table or figure of the paper, or a study of our own.

    A run is a folder named by its configuration's id, which all recipes share. What is finished is skipped, what is
    broken goes on where it stopped, what fails is told at the end and stops nothing else. Ctrl-C saves all.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE", help=f"{summary()}.")] = ""
    choice: Annotated[RecipeChoice, tyro.conf.arg(name="")] = RecipeChoice()
    seeds: int = 3
    """Number of seeds to train with: 0, 1, …"""
    executor: Literal["serial", "ray"] = "serial"
    """On this machine, or on a Ray cluster."""
    parallel: int | None = None
    """Runs at the same time on this machine; by default two on a CPU of several cores, else one."""
    threads: int | None = None
    """Of the CPU, for each run; by default its share of the cores (or of OMP_NUM_THREADS), with Ray one."""
    gpus_per_run: float = 0.0
    """With Ray: GPUs for each run; a part of one lets several share it."""
    retries: int = 3
    """With Ray: how often a run is restarted elsewhere after its worker has died."""
    address: str | None = None
    """With Ray: address of a running cluster ("auto" finds this machine's); by default one is started here."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


def run(args: list[str]) -> int:
    """Run what is missing; return the exit code."""
    arguments = parse(Arguments, args, command="grid", default=Arguments())
    check_numbers(arguments)
    require(arguments.name != "", "srat grid: expected a table or figure of the paper first, as in 'srat grid table1'")
    found = recipe(arguments.name)
    console = make_console("grid")
    if found.kind == "distribution":
        console.print(f"{found.title}: nothing to train; 'srat report {arguments.name}' draws it", highlight=False)
        return 0
    choice = arguments.choice
    cells = planned(found, read_base(found, choice), choice.filter)
    require(not choice.runs.is_file(), f"--runs: expected a folder, '{choice.runs}' is a file")
    jobs = jobs_of(
        cells,
        range(arguments.seeds),
        choice.runs,
        mapped=found.mapped,
        attacks=found.attacks,
        exactly=choice.precision is not None,
    )
    if arguments.executor == "serial" and not all(map(is_finished, jobs)):
        cells[0].config.data.train()  # if it cannot be read, let it be known once
    again = f"'srat {shlex.join(['grid', *args])}' continues"
    with (
        deferring_signals() as interruption,
        executor_of(arguments) as executor,
        Board(console, jobs, executor.slots) as board,
    ):
        try:
            failures = run_grid(jobs, executor, interruption, board, logs=choice.runs / "logs")
        except Interrupted as stop:
            raise Interrupted(stop.signal, f"everything is saved; {again}") from None
    if failures:
        print_whole(console, failure_table(failures))
        console.print(f"{len(failures)} of {len(jobs)} runs failed; {again} with them", highlight=False, soft_wrap=True)
        return FAILED
    report = described_choice("report", arguments.name, choice)
    done = f"All {len(jobs)} runs are" if len(jobs) > 1 else "The run is"
    console.print(f"{done} finished; '{report}' shows them", highlight=False, soft_wrap=True)
    return 0


def check_numbers(arguments: Arguments) -> None:
    """Raise ``UserError`` unless all numbers are such as there can be."""
    for name, value, least in (
        ("seeds", arguments.seeds, 1),
        ("parallel", arguments.parallel, 1),
        ("threads", arguments.threads, 1),
        ("gpus-per-run", arguments.gpus_per_run, 0),
        ("retries", arguments.retries, 0),
    ):
        if value is not None:
            require(value >= least, f"--{name}: expected {least} or more, got {value:g}")


@contextmanager
def executor_of(arguments: Arguments) -> Iterator[Executor]:
    """Give the executor that the words ask for, and close it."""
    if arguments.executor == "ray":
        with closing(
            OnRay(
                address=arguments.address,
                cpus=arguments.threads or 1,
                gpus=arguments.gpus_per_run,
                retries=arguments.retries,
                device=arguments.device,
            )
        ) as on_ray:
            yield on_ray
        return
    from srat.runtime.fabric import make_fabric  # Fabric takes as long to import as torch

    device = str(make_fabric(arguments.device).device)
    cores = torch.get_num_threads()
    # Two at once do a little more than one after the other with twice the threads (benchmarks/grid_threads.py).
    slots = arguments.parallel or (min(2, cores) if device == "cpu" else 1)
    yield Serial(slots=slots, threads=arguments.threads or max(1, cores // slots), device=device)


def failure_table(failures: list[Failure]) -> Listing:
    """Return what failed, and why."""
    table = titled_table("Failed runs")
    for heading in ("run", "error", "log"):
        table.add_column(heading)
    for failure in failures:
        table.add_row(*(Text(printable(text)) for text in (failure.job.label, failure.error, str(failure.log))))
    return table

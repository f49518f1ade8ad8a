"""The command ``srat grid``: the runs of a recipe, or of a grid of one's own."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from rich.console import Console
from rich.text import Text

from srat.attacks.named import named
from srat.cli.commands import train
from srat.cli.naming import kinds_of, make_console
from srat.cli.options import Options
from srat.cli.own_grids import is_own, points_in, points_of, seeds_of
from srat.cli.parsing import parse
from srat.cli.products import given, split
from srat.cli.recipes import RecipeChoice, described_choice, read_base
from srat.config.command_line import plugin_words
from srat.config.config import Config
from srat.core.durations import roughly
from srat.core.errors import printable, require
from srat.core.plugins import digests
from srat.core.signals import Interrupted, deferring_signals
from srat.core.words import counted, few
from srat.grid.definition import check_points, default_folder, defined, jobs_of_points
from srat.grid.engine import Executor, Failure, is_finished, run_grid
from srat.grid.estimate import Estimator
from srat.grid.local import Serial
from srat.grid.on_ray import OnRay
from srat.grid.plan import Job, jobs_of, planned
from srat.recipes.catalogue import recipe, summary
from srat.report.terminal.board import Board
from srat.report.terminal.listing import Listing
from srat.report.terminal.scopes import print_whole, titled_table
from srat.runtime.machine import as_device

FAILED = 3
"""Exit code if a run has failed."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """How many runs, and where."""

    seeds: int = 3
    """Number of seeds to train with: 0, 1, …"""
    list: bool = False
    """Only list the runs, and how long they will take."""
    executor: Literal["serial", "ray"] = "serial"
    """On this machine, or on a Ray cluster."""
    parallel: int | None = None
    """Runs at the same time on this machine; by default two on a CPU of several cores, else one."""
    threads: int | None = None
    """CPU threads for each run; by default its share of the cores (or of OMP_NUM_THREADS), with Ray one."""
    gpus_per_run: float = 0.0
    """With Ray: GPUs for each run; a part of one lets several share it."""
    retries: int = 3
    """With Ray: how often a run is restarted elsewhere after its worker has died."""
    address: str | None = None
    """With Ray: address of a running cluster ("auto" finds this machine's); by default one is started here."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train and evaluate the missing runs behind a table or figure of the paper, or a study of our own.

    A run is a folder named by its configuration's id, which all recipes share. What is finished is skipped, what is
    broken goes on where it stopped, what fails is told at the end and stops nothing else. Ctrl-C saves all.

    A grid of your own has flags of srat train, any of which may take several values, in the place of a recipe: 'srat
    grid --method drcb-ce srat-ldam --help'. Or it has a file of Python with your configurations: 'srat grid FILE.py'.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE", help=f"{summary()}.")] = ""
    choice: Annotated[RecipeChoice, tyro.conf.arg(name="")] = RecipeChoice()
    running: Annotated[Running, tyro.conf.arg(name="")] = Running()


@dataclass(frozen=True, kw_only=True)
class Own:
    """What a grid of one's own has beside the flags of srat train."""

    running: Annotated[Running, tyro.conf.arg(name="")] = Running()
    runs: Path | None = None
    """Folder of the runs, and of the grid's own file; by default one in runs/, named after what varies."""
    evaluate: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Also evaluate every run under this attack, as srat evaluate --attack does; may be given several times."""


@dataclass(frozen=True, kw_only=True)
class OwnArguments:
    """Train and evaluate every combination of the values that are given to flags of srat train.

    A flag of one value may be followed by several: --method drcb-ce srat-ldam --epochs 20 40. One that takes a list is
    given again for another list, and a switch with both of its names. --seed 0 3 7 are the seeds themselves, --seeds 3
    their number. Losses, attacks, … of your own in a file go with --plugin FILE.

    A run is a folder named by its configuration's id. What is finished is skipped, what is broken goes on where it
    stopped; the same command, with more seeds too, does what is missing. 'srat report FOLDER' shows the table.
    """

    own: Annotated[Own, tyro.conf.arg(name="")] = Own()
    choices: Annotated[Any, tyro.conf.arg(name="")] = field(default_factory=train.Choices)
    run: Annotated[Config, tyro.conf.arg(name="")] = Config()


def run(args: list[str]) -> int:
    """Run what is missing; return the exit code."""
    own = is_own(args, training_flags().keys(), kinds_of(Arguments()).keys(), kinds_of(Running()).keys())
    return run_own(args) if own else run_recipe(args)


def run_recipe(args: list[str]) -> int:
    """Run what is missing of a recipe; return the exit code."""
    arguments = parse(Arguments, args, command="grid", default=Arguments())
    check_numbers(arguments.running)
    example = "as in 'srat grid table1', flags of srat train, or a file of Python"
    require(arguments.name != "", f"srat grid: expected a table or figure of the paper first, {example}")
    found = recipe(arguments.name)
    console = make_console("grid")
    if found.kind == "distribution":
        console.print(f"{found.title}: nothing to train; 'srat report {arguments.name}' draws it", highlight=False)
        return 0
    choice = arguments.choice
    cells = planned(found, read_base(found, choice), choice.filter)
    jobs = jobs_of(
        cells,
        range(arguments.running.seeds),
        choice.runs,
        mapped=found.mapped,
        attacks=found.attacks,
        exactly=choice.precision is not None,
    )
    report = described_choice("report", arguments.name, choice)
    return run_jobs(jobs, arguments.running, choice.runs, console, args, report)


def run_own(args: list[str]) -> int:
    """Run what is missing of a grid of one's own; return the exit code."""
    first, words, others = split(args, kinds_of(Own()))
    if {"-h", "--help"} & set(args):
        show_help([word for word in others if word not in ("-h", "--help")])
    own = parse(Own, words, command="grid", default=Own())
    check_numbers(own.running)
    flags = given(others, training_flags())
    seeds = seeds_of(own.running.seeds, flags, words)
    flags = [each for each in flags if each.name != "seed"]
    points = points_in(first, flags) if first else points_of(flags, read_training, where_or_how())
    check_points(points)
    for word in own.evaluate:
        for point in points:
            named(word, threat=point.config.evaluation)
    runs = own.runs or default_folder(points)
    console = make_console("grid")
    grid = defined(points, seeds, shlex.join(command_words(args))).beside(runs)
    jobs = jobs_of_points(points, seeds, runs, own.evaluate)
    if not own.running.list:
        grid.write(runs)
    return run_jobs(jobs, own.running, runs, console, args, shlex.join(["srat", "report", str(runs)]))


def run_jobs(
    jobs: Sequence[Job], running: Running, runs: Path, console: Console, args: Sequence[str], report: str
) -> int:
    """Run what is missing, and return the exit code.

    Args:
        jobs: all runs.
        running: where.
        runs: the folder of the runs.
        console: where to say what happens.
        args: what was typed, which continues it.
        report: the command that shows what has come out.
    """
    require(not runs.is_file(), f"--runs: expected a folder, '{runs}' is a file")
    tell_of_changed(jobs, console)
    if running.list:
        list_jobs(jobs, running, console)
        return 0
    if running.executor == "serial" and not all(map(is_finished, jobs)):
        jobs[0].config.data.train()  # if it cannot be read, let it be known once
    again = f"'{shlex.join(command_words(args))}' continues"
    with (
        deferring_signals() as interruption,
        executor_of(running) as executor,
        Board(console, jobs, executor.slots) as board,
    ):
        try:
            failures = run_grid(jobs, executor, interruption, board, logs=runs / "logs")
        except Interrupted as stop:
            raise Interrupted(stop.signal, f"everything is saved; {again}") from None
    if failures:
        print_whole(console, failure_table(failures))
        console.print(f"{len(failures)} of {len(jobs)} runs failed; {again} with them", highlight=False, soft_wrap=True)
        return FAILED
    done = f"All {len(jobs)} runs are" if len(jobs) > 1 else "The run is"
    console.print(f"{done} finished; '{report}' shows them", highlight=False, soft_wrap=True)
    return 0


def command_words(args: Sequence[str]) -> list[str]:
    """Return the command that these words are of, with the plugins that are loaded."""
    return ["srat", "grid", *args, *plugin_words(digests())]


@cache
def training_flags() -> Mapping[str, Any]:
    """Return the flags of ``srat train``, by name, with the types of their values."""
    return kinds_of(train.Arguments(), every=True)


def where_or_how() -> set[str]:
    """Return the flags of ``srat train`` that are no settings of a run, but for the file that it starts from."""
    return kinds_of(Options()).keys() - {"--config"}


def read_training(words: list[str]) -> Config:
    """Return the configuration that words of ``srat train`` mean."""
    return train.read_arguments(words)[1]


def show_help(words: list[str]) -> None:
    """Print the help of a grid of one's own, with the flags of the first combination."""
    chosen = [each for each in given(words, training_flags()) if each.name != "seed"]
    config, _ = train.composed([word for each in chosen for word in each.values[0]])
    parse(OwnArguments, ["--help"], command="grid", default=OwnArguments(choices=train.shown(config), run=config))


def tell_of_changed(jobs: Sequence[Job], console: Console) -> None:
    """Say which finished runs were trained with another content of a plugin than it has now."""
    now = digests()
    for path, sha256 in now.items():
        older = [job.label for job in jobs if is_finished(job) and job.folder.plugins.get(path, sha256) != sha256]
        if older:
            text = f"{counted(len(older), 'finished run was', 'finished runs were')} trained before '{path}' changed"
            said = f"{text} ({few(older)}); remove their folders to train them again"
            console.print(printable(said), style="yellow", highlight=False, markup=False, soft_wrap=True)


def list_jobs(jobs: Sequence[Job], running: Running, console: Console) -> None:
    """Print all runs, how far each is, and how long what is left will take on this machine."""
    estimator = Estimator(str(as_device(running.device)))
    table = titled_table("Runs")
    table.add_column("run")
    table.add_column("folder", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("takes about", justify="right", no_wrap=True)
    left: list[float | None] = []
    for job in jobs:
        done, finished = job.epochs_done, is_finished(job)
        seconds = 0.0 if finished else estimator.seconds(job.config, done)
        state = "finished" if finished else f"epoch {done} of {job.config.epochs}" if job.folder.exists else "to do"
        shown = "" if finished else "?" if seconds is None else roughly(max(1.0, seconds))
        table.add_row(Text(printable(job.label)), job.config.id, state, shown)
        left.append(seconds)
    print_whole(console, table)
    todo, known = sum(not is_finished(job) for job in jobs), [seconds for seconds in left if seconds is not None]
    total = f"; about {roughly(max(1.0, sum(known)))} on this machine, one after the other"
    is_known = todo and len(known) == len(left)
    console.print(
        f"{counted(len(jobs), 'run')}, {todo} to do{total if is_known else ''}", highlight=False, soft_wrap=True
    )


def check_numbers(running: Running) -> None:
    """Raise ``UserError`` unless all numbers are such as there can be."""
    for name, value, least in (
        ("seeds", running.seeds, 1),
        ("parallel", running.parallel, 1),
        ("threads", running.threads, 1),
        ("gpus-per-run", running.gpus_per_run, 0),
        ("retries", running.retries, 0),
    ):
        if value is not None:
            require(value >= least, f"--{name}: expected {least} or more, got {value:g}")


@contextmanager
def executor_of(running: Running) -> Iterator[Executor]:
    """Give the executor that the words ask for, and close it."""
    if running.executor == "ray":
        with closing(
            OnRay(
                address=running.address,
                cpus=running.threads or 1,
                gpus=running.gpus_per_run,
                retries=running.retries,
                device=running.device,
            )
        ) as on_ray:
            yield on_ray
        return
    device = str(as_device(running.device))
    cores = torch.get_num_threads()
    # Two at once do a little more than one after the other with twice the threads (benchmarks/grid_threads.py).
    slots = running.parallel or (min(2, cores) if device == "cpu" else 1)
    yield Serial(slots=slots, threads=running.threads or max(1, cores // slots), device=device)


def failure_table(failures: list[Failure]) -> Listing:
    """Return what failed, and why."""
    table = titled_table("Failed runs")
    for heading in ("run", "error", "log"):
        table.add_column(heading)
    for failure in failures:
        table.add_row(*(Text(printable(text)) for text in (failure.job.label, failure.error, str(failure.log))))
    return table

"""The command ``srat evaluate``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from srat.attacks.named import attack_words
from srat.attacks.projections import NormName
from srat.cli.naming import make_console
from srat.cli.parsing import parse, run_word
from srat.config.config import Config
from srat.core.errors import require
from srat.core.signals import Interrupted, deferring_signals
from srat.evaluation.expected import DRAWS
from srat.evaluation.groups import GROUPINGS, grouped
from srat.evaluation.record import Evaluation
from srat.report.spreadsheets import write_tables
from srat.report.terminal.live import LiveObserver
from srat.report.terminal.table import print_evaluation
from srat.report.wording import images_text, weights_text
from srat.runs.evaluating import evaluate_run
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import opened
from srat.runs.run import read_facts
from srat.runtime.machine import as_device, keep_freed_memory
from srat.runtime.processes import is_first


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Evaluate the model of a run on the test set, clean and under attack; results are added to its evaluation.json."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """The run's folder."""
    attack: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(
            metavar="NAME",
            help=f"{', '.join(attack_words())} (N: any number of steps); may be given several times; by default, the "
            "attack in the run's configuration.",
        ),
    ] = ()
    weights: Which = "last"
    """The weights of the last epoch, of the best on the held-out part, or (raw) of the last one before averaging."""
    norm: NormName | None = None
    """Norm of the attack's ball; the run's unless given."""
    epsilon: float | None = None
    """ε, in [0, 1] pixel units; the run's unless given."""
    step_size: float | None = None
    """Step size α; the run's unless given."""
    restarts: int | None = None
    """Random starts of each attack; the worst one counts."""
    images: int | None = None
    """Use at most this many test images, equally many of each class; the results go to evaluation-N.json."""
    until_within: float | None = None
    """Take test images, as many of each class and in a random order, until the rare classes' accuracy is known to
    within this many points, such as 2 (half of its 95 % interval); the results go to evaluation-within.json, with
    intervals that hold wherever one stops."""
    groups: str = "half"
    """Groups of classes by training images that the table shows: half (the paper's), thirds, rarest-80,
    many-medium-few, or classes with commas between them; evaluation.json has half."""
    new_images: bool = False
    """Test on images added to the folder since the run began instead; the results go to evaluation-new.json."""
    name: str | None = None
    """Test on the images in --data-dir instead, another test set of the same classes (folders are matched by name); the
    results go to evaluation-NAME.json."""
    anew: bool = False
    """Recompute results that already exist."""
    data_dir: Path | None = None
    """Where the data's files are, as in training unless given; with --name, where the other images are."""
    seed: int | None = None
    """Seed of the attacks' starts; the run's unless given."""
    draws: int = DRAWS
    """Answers of a model that answers at random, the mean of which is attacked and judged."""
    last_step: bool = False
    """Also count the images that are right after the attack's last step, as most papers do; images that were broken
    earlier are attacked again, to the end."""
    csv: Path | None = None
    """Also write what became of each class and image, and what classes are taken for, as CSV files into this folder."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    devices: int = 1
    """Processes on this machine; each has a GPU or a share of the CPU's cores, and a share of the images."""
    oversubscribe: bool = False
    """Allow more processes than the CPU has cores."""


def run(args: list[str]) -> int:
    """Evaluate, print the table of classes; return the exit code."""
    arguments = parse(Arguments, args, command="evaluate", default=Arguments())
    folder, config = opened(run_word(arguments.run, "evaluate"))
    if arguments.groups not in GROUPINGS:  # a class that the run does not have is said before hours of attacks
        facts = read_facts(folder.weights(arguments.weights))
        grouped(arguments.groups, facts.train_counts, facts.class_names)
    same = arguments.csv is None or arguments.until_within is None
    require(same, "--csv needs the same images under each attack; leave out --until-within")
    if as_device(arguments.device).type == "cpu":
        keep_freed_memory()
    console = make_console("evaluate", quiet=not is_first())
    with (
        saying_that_it_goes_on(),
        deferring_signals() as interruption,
        LiveObserver(console, interruption.check) as observer,
    ):
        evaluation = evaluate_run(
            folder.path,
            attacks=arguments.attack,
            which=arguments.weights,
            norm=arguments.norm,
            epsilon=arguments.epsilon,
            step_size=arguments.step_size,
            restarts=arguments.restarts,
            images=arguments.images,
            until_within=arguments.until_within,
            new_images=arguments.new_images,
            name=arguments.name,
            anew=arguments.anew,
            data_dir=arguments.data_dir,
            seed=arguments.seed,
            draws=arguments.draws,
            last_step=arguments.last_step,
            device=arguments.device,
            observer=observer,
        )
    show(evaluation, arguments, folder, config, console)
    return 0


def show(evaluation: Evaluation, arguments: Arguments, folder: RunFolder, config: Config, console: Console) -> None:
    """Print the table of classes, and write what is asked for beside."""
    groups = grouped(arguments.groups, evaluation.train_counts, evaluation.class_names)
    title = f"{config.method} on {config.data.title}, weights of the {weights_text(config, arguments.weights)}"
    if evaluation.path != folder.evaluation(arguments.weights):
        title += f", {images_text(evaluation, new=arguments.new_images, name=arguments.name)}"
    print_evaluation(console, evaluation, title=title, held_out=folder.held_out, groups=groups)
    console.print(f"Kept in {evaluation.path}", highlight=False, markup=False, soft_wrap=True)
    if arguments.csv is not None and is_first():
        said = f"{len(write_tables(evaluation, arguments.csv))} tables in {arguments.csv}"
        console.print(said, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def saying_that_it_goes_on() -> Iterator[None]:
    """Put into an interruption how to go on after it."""
    try:
        yield
    except Interrupted as stop:
        raise Interrupted(stop.signal, "the same command continues from there") from None

"""The command ``srat separability``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from srat.cli.parsing import parse, run_word
from srat.core.errors import printable, require
from srat.core.signals import deferring_signals
from srat.evaluation.record import Evaluation
from srat.report.terminal.live import LiveObserver, make_console
from srat.report.terminal.scopes import print_whole
from srat.runs.folder import Which
from srat.runs.opening import opened


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure how well a run's features separate the classes, clean and attacked, with bootstrap intervals.

    Fisher ratio, silhouette and purity of the ten nearest neighbours, overall, by group and by class. The numbers are
    kept in the run's separability.json.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """The run's folder."""
    weights: Which = "last"
    """The weights of the last epoch, of the best on the held-out part, or (raw) of the last one before averaging."""
    images: int | None = None
    """Use at most this many test images (2,000), or training images with --map (1,000), equally many of each class."""
    map: bool = False
    """Draw a map of the features of training images (t-SNE) instead, and keep it in map.json for srat report."""
    data_dir: Path | None = None
    """Where the data's files are; as in training unless given."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


def run(args: list[str]) -> int:
    """Measure, print the tables; return the exit code."""
    arguments = parse(Arguments, args, command="separability", default=Arguments())
    folder, config = opened(run_word(arguments.run, "separability"))
    console = make_console()
    if arguments.map:
        require(arguments.weights == "last", "--map uses the weights of the last epoch; leave out --weights best")
        draw(arguments, folder.map, console)
    else:
        show(arguments, f"{config.method} on {config.data.title}", console)
    return 0


def draw(arguments: Arguments, file: Path, console: Console) -> None:
    """Draw the map of a run's features, and say where it is."""
    from srat.runs.mapping import map_run  # which brings Fabric

    with deferring_signals() as interruption, LiveObserver(console, interruption.check, lines=False) as observer:
        drawn = map_run(
            arguments.run,
            images=arguments.images or 1_000,
            data_dir=arguments.data_dir,
            device=arguments.device,
            observer=observer,
        )
    said = f"{len(drawn.labels):,} training images, kept in {printable(str(file))}"
    console.print(said, highlight=False, markup=False, soft_wrap=True)


def show(arguments: Arguments, title: str, console: Console) -> None:
    """Measure how well the classes lie apart; print the tables, and the classes that they leave out."""
    from srat.evaluation.separability import NEIGHBOURS
    from srat.report.terminal.separability import separability_table
    from srat.runs.measuring import separability_of_run  # which brings Fabric and SciPy

    with deferring_signals() as interruption, LiveObserver(console, interruption.check, lines=False) as observer:
        measured = separability_of_run(
            arguments.run,
            which=arguments.weights,
            images=arguments.images or 2_000,
            data_dir=arguments.data_dir,
            device=arguments.device,
            observer=observer,
        )
    evaluation = Evaluation(class_names=measured.class_names, train_counts=measured.train_counts)
    for name, found in measured.results.items():
        whole = f"{title}, {name}, {measured.images:,} test images"
        print_whole(console, separability_table(found, evaluation, title=whole))
        shown = {each.scope for each in found if each.is_class}
        if few := [each for each in measured.class_names if each not in shown]:
            said = f"Left out (fewer than {NEIGHBOURS + 1} images each): {', '.join(few)}"
            console.print(printable(said), highlight=False, markup=False)
    console.print(f"Kept in {printable(str(measured.path))}", highlight=False, markup=False, soft_wrap=True)

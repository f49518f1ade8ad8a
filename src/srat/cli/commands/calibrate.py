"""The command ``srat calibrate``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from srat.cli.naming import make_console
from srat.cli.parsing import parse, run_word
from srat.core.signals import deferring_signals
from srat.core.words import counted
from srat.report.terminal.live import LiveObserver
from srat.report.terminal.scopes import print_whole, titled_table
from srat.runs.calibrating import calibrate_run
from srat.runs.folder import RunFolder, Which


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Fit a temperature to a run's probabilities on its held-out part, so that they say how often it is right.

    The temperature is kept in the run's calibration.json; predict, serve and export use it from then on. Predictions
    and accuracies stay as they are.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """The run's folder."""
    weights: Which = "last"
    """The weights of the last epoch, of the best on the held-out part, or (raw) of the last one before averaging."""
    data_dir: Path | None = None
    """Where the data's files are; as in training unless given."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


def run(args: list[str]) -> int:
    """Fit, print what it changes; return the exit code."""
    arguments = parse(Arguments, args, command="calibrate", default=Arguments())
    folder = RunFolder(Path(run_word(arguments.run, "calibrate")))
    console = make_console("calibrate")
    with deferring_signals() as interruption, LiveObserver(console, interruption.check) as observer:
        found = calibrate_run(
            folder.path,
            which=arguments.weights,
            data_dir=arguments.data_dir,
            device=arguments.device,
            observer=observer,
        )
    table = titled_table(f"{folder.path.resolve().name}, temperature {found.temperature:.3f}")
    table.add_column("images")
    for name in ("error %", "with temperature", "log loss", "with temperature"):
        table.add_column(name, justify="right", no_wrap=True)
    of_parts = {"held out": (found.before, found.after), "test": (found.test_before, found.test_after)}
    for name, (before, after) in of_parts.items():
        errors = (f"{100 * each.calibration_error:.1f}" for each in (before, after))
        table.add_row(name, *errors, *(f"{each.log_loss:.3f}" for each in (before, after)))
    print_whole(console, table)
    for line in (
        f"Fitted on {counted(found.images, 'held-out image')}, each class counting alike. "
        "Error: the expected calibration error, each image counting alike.",
        f"Kept in {folder.calibration(arguments.weights)}",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0

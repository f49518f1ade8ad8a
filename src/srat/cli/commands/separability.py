"""The command ``srat separability``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.core.errors import require
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
    folder, config = opened(arguments.run, "separability", arguments.data_dir)
    console = make_console("separability")
    if arguments.map:
        from srat.cli.pages import make_map

        require(arguments.weights == "last", "--map uses the weights of the last epoch; leave out --weights best")
        make_map(folder, config, images=arguments.images or 1_000, device=arguments.device, console=console)
    else:
        from srat.cli.measuring import measure  # which brings Fabric and SciPy

        wanted = arguments.images or 2_000
        measure(folder, config, which=arguments.weights, wanted=wanted, device=arguments.device, console=console)
    return 0

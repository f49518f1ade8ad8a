"""What ``srat report RUN …`` does, and ``srat train`` at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from srat.cli.command_line import command_of
from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.config.config import Config
from srat.core.errors import UserError, nearest, printable, require
from srat.core.files import write_atomically
from srat.core.signals import deferring_signals
from srat.data import Dataset
from srat.evaluation.feature_map import FeatureMap
from srat.recipes.catalogue import names
from srat.report.html.gallery import Specimen, make_gallery
from srat.report.html.page import render
from srat.report.html.record import RunRecord, read_record
from srat.report.terminal.live import LiveObserver
from srat.runs.folder import RunFolder
from srat.runs.opening import how_to_evaluate, opened, require_same_data
from srat.runs.results import WAIT
from srat.runs.run import load_with_facts
from srat.runtime.machine import telling_of_memory

MAPPED = 600
"""Training images on its map, at the most."""
SHOWN = 12
"""Test images on a page."""


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
    several = len(arguments.runs) > 1
    runs = [opened(each, "report", arguments.data_dir) for each in arguments.runs]
    for folder, _ in runs:
        how = how_to_evaluate(folder) if folder.of_own_model else f"{folder.how_to_go_on} it"
        require(folder.evaluation("last").exists(), f"'{folder.path}' is not evaluated yet: {how}")
    out = arguments.out or (Path("report.html") if several else runs[0][0].path / "report.html")
    require(out.parent.is_dir() and not out.is_dir(), f"--out: expected the name of a file in a folder, got '{out}'")
    from srat.report.findings import findings_of
    from srat.runtime.fabric import make_fabric  # Fabric takes as long to import as torch

    console, device = make_console("report"), str(make_fabric(arguments.device).device)
    for folder, config in runs if arguments.map else ():
        draw_map(folder, config, device, console)
    records = [
        read_record(folder, config, command=command_of(config), gallery=gallery_of(folder, config, device, console))
        for folder, config in runs
    ]
    findings = findings_of(arguments.runs) if several else ()
    write_page(records, out, console, findings=findings)
    return 0


def write_page(records: Sequence[RunRecord], out: Path, console: Console, findings: Sequence[str] = ()) -> None:
    """Write the page of some runs, and say where it is."""
    write_atomically(out, render(records, findings=findings))
    console.print(f"The page is in {printable(str(out))}", highlight=False, markup=False, soft_wrap=True)


def page_of_training(folder: RunFolder, config: Config, test: Dataset, device: str, console: Console) -> None:
    """Write a run's page at the end of its training."""
    gallery = gallery_of(folder, config, device, console, test)
    with folder.locked(wait=WAIT):
        record = read_record(folder, config, command=command_of(config), gallery=gallery)
        write_page([record], folder.path / "report.html", console)


def draw_map(folder: RunFolder, config: Config, device: str, console: Console) -> None:
    """Draw the map of a run's features, unless that of these weights is there; say why if it cannot be drawn."""
    if folder.map.exists() and FeatureMap.read(folder.map).is_of(folder.weights("last")):
        return
    try:
        make_map(folder, config, images=MAPPED, device=device, console=console)
    except (UserError, OSError) as error:
        console.print(f"no map on the page: {error}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def make_map(folder: RunFolder, config: Config, *, images: int, device: str, console: Console) -> None:
    """Draw and keep the map of a run's features, with a progress bar."""
    from srat.runs.mapping import map_features  # which brings Fabric

    with deferring_signals() as interruption, LiveObserver(console, interruption.check, lines=False) as observer:
        count = map_features(folder, config, images=images, device=device, observer=observer)
    said = f"{count:,} training images, kept in {printable(str(folder.map))}"
    console.print(said, highlight=False, markup=False, soft_wrap=True)


def gallery_of(
    folder: RunFolder, config: Config, device: str, console: Console, test: Dataset | None = None
) -> list[Specimen]:
    """Return images for a run's page; none, and why, if its weights or its data are not there."""
    try:
        with telling_of_memory("the images of the page"):
            model, facts = load_with_facts(folder.path, device=device)
            test = test or config.data.parts(folder.record).test()
            require_same_data(test, facts)
            order = sorted(range(len(facts.class_names)), key=lambda c: (facts.train_counts[c], -c))
            return make_gallery(model, test, config.evaluation, order=order, most=SHOWN, seed=config.seed)
    except UserError as error:
        console.print(f"no images on the page: {error}", style="yellow", highlight=False, markup=False, soft_wrap=True)
        return []

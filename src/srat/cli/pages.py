"""Pages of runs: what ``srat report RUN …`` writes, and ``srat train`` at its end."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from srat.cli.command_line import command_of
from srat.config.config import Config
from srat.core.errors import UserError, printable
from srat.core.files import write_atomically
from srat.core.signals import deferring_signals
from srat.data import Dataset
from srat.evaluation.feature_map import FeatureMap
from srat.report.html.gallery import Specimen, make_gallery
from srat.report.html.page import render
from srat.report.html.record import RunRecord, read_record
from srat.report.terminal.live import LiveObserver
from srat.runs.folder import RunFolder
from srat.runs.opening import require_same_data
from srat.runs.results import WAIT
from srat.runs.run import load_with_facts
from srat.runtime.machine import telling_of_memory

MAPPED = 600
"""Training images on its map, at the most."""
SHOWN = 12
"""Test images on a page."""


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

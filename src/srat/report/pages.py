"""The page of a run, or of several side by side."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from srat.config.command_line import command_of
from srat.config.config import Config
from srat.core.checked import checked
from srat.core.errors import UserError, printable, require
from srat.core.files import write_atomically
from srat.data import Dataset
from srat.evaluation.feature_map import FeatureMap
from srat.evaluation.groups import GROUPINGS, grouped
from srat.evaluation.observer import Observer
from srat.evaluation.record import Evaluation
from srat.report.findings import findings_of
from srat.report.html.gallery import Specimen, make_gallery
from srat.report.html.page import render
from srat.report.html.record import read_record
from srat.runs.folder import RunFolder
from srat.runs.opening import how_to_evaluate, opened, require_same_data
from srat.runs.results import WAIT
from srat.runs.run import load_with_facts
from srat.runtime.machine import as_device, telling_of_memory

MAPPED = 600
"""Training images on its map, at the most."""
SHOWN = 12
"""Test images on a page."""


@checked
def report_runs(
    paths: Sequence[Path | str],
    *,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    draw_map: bool = True,
    groups: str = "half",
    device: str | torch.device = "auto",
    observer: Observer | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write the page of an evaluated run, or of several side by side, as one self-contained HTML file.

    Args:
        paths: the runs' folders.
        out: the file; by default report.html in the run's folder, or in the current one for several runs.
        data_dir: where the data's files are now; by default where they were.
        draw_map: whether to draw the map of training features where there is none yet.
        groups: groups of classes: "half" (the paper's), "thirds", "rarest-80", "many-medium-few", or classes with
            commas between them.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.
        observer: told of progress, and of what the page has to do without.
        told: told where a map is kept.

    Returns:
        The file.

    Raises:
        UserError: if a run is not evaluated, or the file cannot be written.
    """
    require(len(paths) > 0, "`paths`: expected the folder of a run at least")
    observer, several = observer or Observer(), len(paths) > 1
    runs = [opened(path, data_dir) for path in paths]
    for folder, _ in runs:
        require_evaluated(folder)
    file = Path(out or (Path("report.html") if several else runs[0][0].path / "report.html"))
    writable = file.parent.is_dir() and not file.is_dir()
    require(writable, f"`out`: expected the name of a file in a folder, got '{file}'")
    there = as_device(device)
    for folder, _ in runs if groups not in GROUPINGS else ():  # said before maps are drawn
        found = Evaluation.read(folder.evaluation("last"))
        grouped(groups, found.train_counts, found.class_names)
    for folder, _ in runs if draw_map else ():
        with_map(folder, data_dir, there, observer, told)
    records = [
        read_record(
            folder,
            config,
            command=command_of(config, folder.plugins),
            gallery=gallery_of(folder, config, there, observer),
            groups=groups,
        )
        for folder, config in runs
    ]
    findings = findings_of(paths) if several else ()
    write_atomically(file, render(records, findings=findings))
    return file


def require_evaluated(folder: RunFolder) -> None:
    """Raise ``UserError`` unless a run is evaluated; it says how."""
    how = how_to_evaluate(folder) if folder.of_own_model else f"{folder.how_to_go_on} it"
    require(folder.evaluation("last").exists(), f"'{folder.path}' is not evaluated yet: {how}")


def page_of_training(
    folder: RunFolder, config: Config, test: Dataset, device: str | torch.device, observer: Observer
) -> Path:
    """Write a run's page at the end of its training, and return the file."""
    gallery, file = gallery_of(folder, config, device, observer, test), folder.path / "report.html"
    command = command_of(config, folder.plugins)
    with folder.locked(wait=WAIT):
        write_atomically(file, render([read_record(folder, config, command=command, gallery=gallery)]))
    return file


def with_map(
    folder: RunFolder,
    data_dir: Path | str | None,
    device: str | torch.device,
    observer: Observer,
    told: Callable[[str], None],
) -> None:
    """Draw the map of a run's features, unless that of these weights is there; tell why if it cannot be drawn."""
    if folder.map.exists() and FeatureMap.read(folder.map).is_of(folder.weights("last")):
        return
    from srat.runs.mapping import map_run  # which brings Fabric

    try:
        drawn = map_run(folder.path, images=MAPPED, data_dir=data_dir, device=device, observer=observer)
    except (UserError, OSError) as error:
        observer.notice(f"no map on the page: {error}")
    else:
        told(f"{len(drawn.labels):,} training images, kept in {printable(str(folder.map))}")


def gallery_of(
    folder: RunFolder,
    config: Config,
    device: str | torch.device,
    observer: Observer,
    test: Dataset | None = None,
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
        observer.notice(f"no images on the page: {error}")
        return []

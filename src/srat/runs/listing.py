"""The runs in a folder: settings, progress and accuracy."""

import math
from pathlib import Path
from typing import Any

from srat.config.config import Config
from srat.core.checked import checked
from srat.core.errors import UserError, require
from srat.core.files import count_lines
from srat.evaluation.record import CLEAN, Evaluation
from srat.runs.finding import runs_in
from srat.runs.folder import RunFolder
from srat.runs.troubles import troubles
from srat.statistics.intervals import Accuracy

Row = dict[str, Any]
"""What is told of a run, by column."""
_SETTINGS = ("method", "data", "imbalance", "model", "seed", "epochs")
_COLUMNS = (*_SETTINGS, "clean", "attack", "robust", "class_mean", "rare", "trouble")


@checked
def list_runs(folder: Path | str = "runs") -> list[Row]:
    """Return the runs in a folder with settings, state and accuracies in [0, 1]; of a damaged one, what is wrong.

    Args:
        folder: where to look; subfolders are included.

    Raises:
        UserError: if there is no such folder.
    """
    there = Path(folder)
    require(there.is_dir(), f"`folder`: there is no folder '{there}'")
    return [row_of(each, there) for each in runs_in(there)]


def row_of(run: RunFolder, folder: Path) -> Row:
    """Return what is told of a run; of a damaged one, what is wrong."""
    name = str(run.path.relative_to(folder)) if run.path != folder else run.path.resolve().name
    empty = dict.fromkeys(_COLUMNS)
    try:
        config = Config.read(run.config, opening=True)
        row = {"run": name, "state": state_of(run, config), **empty}
        row |= {"method": config.method, "data": config.data.title, "imbalance": config.imbalance.title}
        row |= {"model": config.model.name, "seed": config.seed, "epochs": config.epochs}
        row["trouble"] = trouble_of(run, config)
        path = run.evaluation("last")
        return row | accuracies(Evaluation.read(path), config) if path.exists() else row
    except UserError as error:
        return {"run": name, "state": f"damaged: {error}", **empty}


def trouble_of(run: RunFolder, config: Config) -> str | None:
    """Return what is wrong with a run's training, in a few words; None if nothing is, or its metrics do not say."""
    try:
        history = run.read_metrics() if run.metrics.exists() else ()
        return "; ".join(each.name for each in troubles(config, history)) or None
    except (UserError, KeyError):
        return None


def state_of(run: RunFolder, config: Config) -> str:
    """Return how far a run is, in a few words."""
    path = run.evaluation("last")
    if path.exists() and {CLEAN, config.evaluation.label} <= Evaluation.read(path).results.keys():
        return "finished" if run.trained else "finished, weights missing"
    busy = "running, " if run.in_use else ""
    if run.trained:
        return f"{busy}not evaluated"
    return f"{busy}epoch {max(0, count_lines(run.metrics) - 1)} of {config.epochs}"


def accuracies(evaluation: Evaluation, config: Config) -> Row:
    """Return a run's accuracies in [0, 1]: clean, under its own attack of all images, classes and rare ones."""
    results, label = evaluation.results, config.evaluation.label
    clean, robust = results.get(CLEAN), results.get(label)
    return {
        "clean": None if clean is None else _number(clean.accuracy),
        "attack": label,
        "robust": None if robust is None else _number(robust.accuracy),
        "class_mean": None if robust is None else _number(robust.counts.balanced()),
        "rare": None if robust is None else _number(robust.counts.accuracy(evaluation.groups.under)),
    }


def _number(accuracy: Accuracy) -> float | None:
    """Return an accuracy; None where there is no image."""
    return None if math.isnan(accuracy.accuracy) else accuracy.accuracy

"""The command ``srat runs``."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.text import Text

from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.config.config import Config
from srat.core.errors import UserError, printable, require
from srat.core.files import count_lines
from srat.core.words import counted
from srat.evaluation.record import CLEAN, Evaluation
from srat.report.terminal.names import Name
from srat.report.terminal.scopes import print_whole, titled_table
from srat.report.wording import described
from srat.runs.finding import runs_in
from srat.runs.folder import RunFolder
from srat.statistics.intervals import Accuracy

Row = dict[str, Any]
_COLUMNS = ("method", "data", "imbalance", "model", "seed", "epochs", "clean", "attack", "robust", "rare")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """List the runs in a folder with their settings, progress and accuracy."""

    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = "runs"
    """Where to look; subfolders are included."""
    format: Literal["table", "csv", "json"] = "table"
    """A table for people; csv or json for programs."""


def run(args: list[str]) -> int:
    """List the runs; return the exit code."""
    arguments = parse(Arguments, args, command="runs", default=Arguments())
    folder = Path(arguments.folder)
    require(folder.is_dir(), f"srat runs: there is no folder '{folder}'; 'srat runs FOLDER' looks in another")
    rows = [row_of(each, folder) for each in runs_in(folder)]
    require(bool(rows), f"there is no run in '{folder}' (a run's folder has a config.json)")
    if arguments.format == "json":
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif arguments.format == "csv":
        print(as_csv(rows), end="")
    else:
        show(rows)
    return 0


def row_of(run: RunFolder, folder: Path) -> Row:
    """Return what is told of a run; of a damaged one, what is wrong."""
    name = str(run.path.relative_to(folder)) if run.path != folder else run.path.resolve().name
    empty = dict.fromkeys(_COLUMNS)
    try:
        config = Config.read(run.config)
        row = {"run": name, "state": state_of(run, config), **empty}
        row |= {"method": config.method, "data": config.data.title, "imbalance": described(config.imbalance)}
        row |= {"model": config.model.name, "seed": config.seed, "epochs": config.epochs}
        path = run.evaluation("last")
        return row | accuracies(Evaluation.read(path), config) if path.exists() else row
    except UserError as error:
        return {"run": name, "state": f"damaged: {error}", **empty}


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
    """Return a run's accuracies in [0, 1]: clean, under its own attack, and that of the rare classes."""
    results, label = evaluation.results, config.evaluation.label
    clean, robust = results.get(CLEAN), results.get(label)
    return {
        "clean": None if clean is None else _number(clean.accuracy),
        "attack": label,
        "robust": None if robust is None else _number(robust.accuracy),
        "rare": None if robust is None else _number(robust.counts.accuracy(evaluation.groups.under)),
    }


def _number(accuracy: Accuracy) -> float | None:
    """Return an accuracy; None where there is no image."""
    return None if math.isnan(accuracy.accuracy) else accuracy.accuracy


def as_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV; what is not known is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def show(rows: Sequence[Row]) -> None:
    """Print the runs as a table."""
    table = titled_table(counted(len(rows), "run"))
    names = ("run", "method", "data", "imbalance", "model", "seed", "clean %", "attack", "robust %", "rare %", "state")
    numbers = ("seed", "clean %", "robust %", "rare %")
    for name in names:
        gives_way = name in ("run", "state")
        table.add_column(name, justify="right" if name in numbers else "left", no_wrap=not gives_way)
    for row in rows:
        others = (Text(_said(name, row), style=_style(row) if name == "state" else "") for name in names[1:])
        table.add_row(Name(name=row["run"]), *others)
    print_whole(make_console("runs"), table)


def _said(name: str, row: Row) -> str:
    value = row[name.removesuffix(" %")]
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if name.endswith("%") else printable(str(value))


def _style(row: Row) -> str:
    state = row["state"]
    return "green" if state == "finished" else "red" if state.startswith("damaged") else "yellow"

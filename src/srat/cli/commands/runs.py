"""The command ``srat runs``."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.text import Text

from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.core.errors import printable, require
from srat.core.words import counted
from srat.report.terminal.names import Name
from srat.report.terminal.scopes import print_whole, titled_table
from srat.runs.folder import RunFolder
from srat.runs.listing import Row, list_runs


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """List the runs in folders with their settings, progress and accuracy."""

    folders: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER …")] = ("runs",)
    """Where to look, in one or several; subfolders are included."""
    format: Literal["table", "csv", "json"] = "table"
    """A table for people; csv or json for programs."""


def run(args: list[str]) -> int:
    """List the runs; return the exit code."""
    arguments = parse(Arguments, args, command="runs", default=Arguments())
    rows = [row for folder in arguments.folders for row in rows_in(folder, alone=len(arguments.folders) == 1)]
    if arguments.format == "json":
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif arguments.format == "csv":
        print(as_csv(rows), end="")
    else:
        show(rows)
    return 0


def rows_in(name: str, *, alone: bool) -> list[Row]:
    """Return what is told of the runs in a folder.

    Args:
        name: the folder's.
        alone: whether it is the only one; else its name is a part of its runs' names.

    Raises:
        UserError: if there is no such folder, or no run in it.
    """
    folder = Path(name)
    require(folder.is_dir(), f"srat runs: there is no folder '{folder}'; 'srat runs FOLDER' looks in another")
    rows = list_runs(folder)
    require(bool(rows), f"there is no run in '{folder}' (a run's folder has a config.json)")
    if alone:
        return rows
    return [row | {"run": name if RunFolder(folder).exists else str(folder / row["run"])} for row in rows]


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
    # Where all classes have as many test images, the mean over the classes is the accuracy.
    mean = ["class mean %"] if any(row["class_mean"] != row["robust"] for row in rows) else []
    numbers = ("seed", "clean %", "robust %", *mean, "rare %")
    names = ["run", "method", "data", "imbalance", "model", "seed", "clean %", "attack", *numbers[2:], "state"]
    for name in names:
        gives_way = name in ("run", "state")
        table.add_column(name, justify="right" if name in numbers else "left", no_wrap=not gives_way)
    for row in rows:
        others = (Text(_said(name, row), style=_style(row) if name == "state" else "") for name in names[1:])
        table.add_row(Name(name=row["run"]), *others)
    print_whole(make_console("runs"), table)


def _said(name: str, row: Row) -> str:
    value = row[name.removesuffix(" %").replace(" ", "_")]
    if name == "state" and row["trouble"]:
        value = f"{value}; {row['trouble']}"
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if name.endswith("%") else printable(str(value))


def _style(row: Row) -> str:
    state = row["state"]
    return "green" if state == "finished" and not row["trouble"] else "red" if state.startswith("damaged") else "yellow"

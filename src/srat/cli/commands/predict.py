"""The command ``srat predict``."""

import codecs
import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.text import Text

from srat.attacks import AnyAttack, Natural
from srat.attacks.named import attack_words
from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.core.errors import UserError, printable, require
from srat.core.files import read_bounded, write_atomically
from srat.core.signals import deferring_signals
from srat.core.words import counted
from srat.data.reading.image_files import together
from srat.evaluation.record import describe_attack
from srat.inference.prediction import FilePredictions, Prediction, in_plain, predict_in_parts
from srat.report.terminal.live import LiveObserver
from srat.report.terminal.names import Name
from srat.report.terminal.scopes import print_whole, titled_table
from srat.report.wording import budget_text
from srat.runs.folder import Which

Row = dict[str, Any]
_LARGEST_LIST = 1 << 30
"""Bytes of a list that are read at the most."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Predict what images show, with probabilities, and whether each prediction holds under attack within ε.

    Images are converted as in training: to grey or colour, and resized. The attack is the one that the run was
    evaluated under; what holds under it may still fall to a stronger one. With --attack natural nothing is attacked,
    and any number of images is read and predicted a few at a time.
    """

    words: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN IMAGE …")] = ()
    """The run's folder, or a file of its weights; then image files, and folders of them."""
    list: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also predict the images that this file names, one a line, as seen from the current folder; - reads standard
    input."""
    top: int = 1
    """Classes to show of each image, the likeliest first."""
    format: Literal["table", "csv", "json", "jsonl"] = "table"
    """A table for people; csv, json or jsonl (an object a line) for programs."""
    out: Path | None = None
    """Write csv, json or jsonl to this file; by default to the terminal."""
    attack: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="NAME",
            help=f"Attack to test the predictions under: {', '.join(attack_words())} (N: any number of steps; natural "
            "attacks nothing); by default the one that the run was evaluated under.",
        ),
    ] = None
    epsilon: float | None = None
    """ε of the attack, in [0, 1] pixel units; as in the run's evaluation unless given."""
    weights: Which = "last"
    """The weights of the last epoch, of the best on the held-out part, or (raw) of the last one before averaging."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


def run(args: list[str]) -> int:
    """Predict and show; return the exit code, 2 if a file could not be read."""
    arguments = parse(Arguments, args, command="predict", default=Arguments())
    check_arguments(arguments)
    name, *images = arguments.words
    progress, wrong = make_console("predict", stderr=True), list[UserError]()
    with deferring_signals() as interruption, LiveObserver(progress, interruption.check, lines=False) as observer:
        parts = predict_in_parts(
            name,
            [*images, *listed(arguments.list)],
            attack=arguments.attack,
            epsilon=arguments.epsilon,
            top=arguments.top,
            which=arguments.weights,
            model=None,
            device=arguments.device,
            observer=observer,
            told=lambda line: progress.print(f"srat: {printable(line)}", highlight=False, markup=False, soft_wrap=True),
        )
        give(_noted(parts, wrong), arguments)
    if wrong:
        raise together(wrong)
    return 0


def _noted(parts: Iterator[FilePredictions], wrong: list[UserError]) -> Iterator[FilePredictions]:
    """Yield the parts, and note what is wrong with files."""
    for part in parts:
        wrong += part.wrong
        yield part


def check_arguments(arguments: Arguments) -> None:
    """Raise ``UserError`` unless there are a run and images, and the predictions can be written."""
    example, out = "'srat predict runs/a photo.jpg folder/'", arguments.out
    enough = len(arguments.words) >= (2 if arguments.list is None else 1)
    require(enough, f"srat predict: expected a run and images, as in {example}")
    writable = out is None or (out.parent.is_dir() and not out.is_dir())
    require(writable, f"--out: expected the name of a file, got '{out}'")
    require(out is None or arguments.format != "table", "--out: expected --format csv, json or jsonl with it")


def listed(path: Path | None) -> list[Path]:
    """Return the paths in a file, one a line or with a NUL behind each, as ``find`` writes them.

    Args:
        path: the file; "-" for standard input, None for no paths.

    Raises:
        UserError: if it cannot be read, or names nothing.
    """
    if path is None:
        return []
    standard = str(path) == "-"
    content = sys.stdin.buffer.read() if standard else read_bounded(path, _LARGEST_LIST)
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\0" if b"\0" in content else b"\n")
    found = [Path(os.fsdecode(line)) for line in (line.removesuffix(b"\r") for line in lines) if line]
    require(bool(found), f"--list: expected a path a line, got nothing in {'standard input' if standard else path}")
    return found


def give(parts: Iterator[FilePredictions], arguments: Arguments) -> None:
    """Show the predictions, or write them where they are wanted as they come."""
    if arguments.format == "table":
        show(parts, make_console("predict"))
        return
    output, pieces = sys.stdout, WRITTEN[arguments.format](parts)  # while a bar is drawn, rich puts its own there
    if arguments.out is not None:
        write_atomically(arguments.out, (piece.encode() for piece in pieces))
    else:
        for piece in pieces if not output.isatty() else ("".join(pieces),):  # of which the bar would be in the way
            output.write(piece)
            output.flush()


def rows_of(part: FilePredictions) -> Iterator[Row]:
    """Yield what is printed about each image."""
    for path, each in zip(part.paths, part.predictions, strict=True):
        yield row_of(path, each, part.class_names)


def row_of(path: Path, prediction: Prediction, class_names: Sequence[str]) -> Row:
    """Return what is printed about an image."""
    attacked = prediction.attacked
    top = in_plain(prediction.top, class_names)
    return {
        "file": os.fsencode(path).decode(errors="backslashreplace"),
        **top[0],
        "holds": prediction.holds,
        "attacked": None if attacked is None else class_names[attacked],
        "top": top,
    }


def as_json(parts: Iterator[FilePredictions]) -> Iterator[str]:
    """Yield the predictions with the attack."""
    first = next(parts)
    rows = [row for part in chain([first], parts) for row in rows_of(part)]
    content = {"attack": describe_attack(first.attack, len(first.class_names)), "predictions": rows}
    yield json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_json_lines(parts: Iterator[FilePredictions]) -> Iterator[str]:
    """Yield the predictions of each part, one a line."""
    for part in parts:
        yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows_of(part))


def as_csv(parts: Iterator[FilePredictions]) -> Iterator[str]:
    """Yield the predictions of each part as lines; what is not known is empty."""
    begun = False
    for rows in map(list, map(rows_of, parts)):
        flat = list(map(_flat, rows))
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(flat[0]) if flat else [], lineterminator="\n")
        if flat and not begun:
            writer.writeheader()
            begun = True
        writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in flat)
        yield text.getvalue()


def _flat(row: Row) -> Row:
    """Return a row with a column for each class after the first, and its probability."""
    *_, top = row.values()
    others = {f"{name}_{place}": each[name] for place, each in enumerate(top[1:], 2) for name in each}
    return {name: value for name, value in row.items() if name != "top"} | others


WRITTEN: Mapping[str, Callable[[Iterator[FilePredictions]], Iterator[str]]] = {
    "csv": as_csv,
    "json": as_json,
    "jsonl": as_json_lines,
}
"""What is written for programs, by format."""


def show(parts: Iterator[FilePredictions], console: Console) -> None:
    """Print the predictions as a table."""
    first = next(parts)
    rows, attack = [row for part in chain([first], parts) for row in rows_of(part)], first.attack
    table = titled_table(counted(len(rows), "image"))
    attacked, several = not isinstance(attack, Natural), any(len(row["top"]) > 1 for row in rows)
    table.add_column("file")
    table.add_column("class")
    table.add_column("probability", justify="right", no_wrap=True)
    if several:
        table.add_column("then")
    if attacked:
        table.add_column("under attack")
    for row in rows:
        cells: list[Name | Text] = [Name(name=row["file"]), Name(name=row["class"], style="bold")]
        cells.append(Text(_share(row["probability"])))
        if several:
            others = (f"{printable(each['class'])} {_share(each['probability'])}" for each in row["top"][1:])
            cells.append(Text(", ".join(others)))
        if attacked:
            becomes = Name(name=str(row["attacked"]), style="red", before="becomes ")
            cells.append(Text("holds", "green") if row["holds"] else becomes)
        table.add_row(*cells)
    print_whole(console, table)
    if attacked:
        _show_attack(rows, attack, console)


def _show_attack(rows: Sequence[Row], attack: AnyAttack, console: Console) -> None:
    held = sum(bool(row["holds"]) for row in rows)
    under = f"under {attack.label} ({budget_text(attack)})"
    console.print(f"{held:,} of {len(rows):,} hold {under}", highlight=False, markup=False, soft_wrap=True)


def _share(probability: float | None) -> str:
    return "–" if probability is None else f"{probability:.3f}"

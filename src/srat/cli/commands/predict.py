"""The command ``srat predict``."""

import csv
import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.text import Text

from srat.attacks import AnyAttack, Natural
from srat.attacks.named import attack_words
from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.core.errors import printable, require
from srat.core.files import write_atomically
from srat.core.signals import deferring_signals
from srat.core.words import counted
from srat.data.reading.image_files import together
from srat.evaluation.record import describe_attack
from srat.inference.prediction import Prediction, predict_files
from srat.report.terminal.live import LiveObserver
from srat.report.terminal.names import Name
from srat.report.terminal.scopes import print_whole, titled_table
from srat.report.wording import budget_text
from srat.runs.folder import Which

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Predict what images show, with probabilities, and whether each prediction holds under attack within ε.

    Images are converted as in training: to grey or colour, and resized. The attack is the one that the run was
    evaluated under; what holds under it may still fall to a stronger one.
    """

    words: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN IMAGE …")] = ()
    """The run's folder, or a file of its weights; then image files, and folders of them."""
    format: Literal["table", "csv", "json"] = "table"
    """A table for people; csv or json for programs."""
    out: Path | None = None
    """Write csv or json to this file; by default to the terminal."""
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
    progress = make_console("predict", stderr=True)
    with deferring_signals() as interruption, LiveObserver(progress, interruption.check, lines=False) as observer:
        found = predict_files(
            name,
            images,
            attack=arguments.attack,
            epsilon=arguments.epsilon,
            which=arguments.weights,
            device=arguments.device,
            observer=observer,
            told=lambda line: progress.print(f"srat: {printable(line)}", highlight=False, markup=False, soft_wrap=True),
        )
    names = found.class_names
    rows = [row_of(path, each, names) for path, each in zip(found.paths, found.predictions, strict=True)]
    give(rows, arguments, found.attack, classes=len(names))
    if found.wrong:
        raise together(found.wrong)
    return 0


def check_arguments(arguments: Arguments) -> None:
    """Raise ``UserError`` unless there are a run and images, and the predictions can be written."""
    example, out = "'srat predict runs/a photo.jpg folder/'", arguments.out
    require(len(arguments.words) >= 2, f"srat predict: expected a run and images, as in {example}")
    writable = out is None or (out.parent.is_dir() and not out.is_dir())
    require(writable, f"--out: expected the name of a file, got '{out}'")
    require(out is None or arguments.format != "table", "--out: expected --format csv or json with it, got a table")


def give(rows: Sequence[Row], arguments: Arguments, attack: AnyAttack, *, classes: int) -> None:
    """Show the predictions, or write them where they are wanted."""
    if arguments.format == "table":
        show(rows, make_console("predict"), attack)
        return
    text = as_csv(rows) if arguments.format == "csv" else as_json(rows, attack, classes)
    print(text, end="") if arguments.out is None else write_atomically(arguments.out, text)


def row_of(path: Path, prediction: Prediction, class_names: Sequence[str]) -> Row:
    """Return what is printed about an image."""
    probability, attacked = prediction.probability, prediction.attacked
    return {
        "file": os.fsencode(path).decode(errors="backslashreplace"),
        "class": class_names[prediction.label],
        "probability": round(probability, 4) if math.isfinite(probability) else None,
        "holds": prediction.holds,
        "attacked": None if attacked is None else class_names[attacked],
    }


def as_json(rows: Sequence[Row], attack: AnyAttack, classes: int) -> str:
    """Return the predictions with the attack."""
    content = {"attack": describe_attack(attack, classes), "predictions": rows}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """Return the predictions as lines; what is not known is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return text.getvalue()


def show(rows: Sequence[Row], console: Console, attack: AnyAttack) -> None:
    """Print the predictions as a table."""
    table = titled_table(counted(len(rows), "image"))
    attacked = not isinstance(attack, Natural)
    table.add_column("file")
    table.add_column("class")
    table.add_column("probability", justify="right", no_wrap=True)
    if attacked:
        table.add_column("under attack")
    for row in rows:
        cells: list[Name | Text] = [Name(name=row["file"]), Name(name=row["class"], style="bold")]
        cells.append(Text(_share(row["probability"])))
        if attacked:
            becomes = Name(name=str(row["attacked"]), style="red", before="becomes ")
            cells.append(Text("holds", "green") if row["holds"] else becomes)
        table.add_row(*cells)
    print_whole(console, table)
    if attacked:
        held = sum(bool(row["holds"]) for row in rows)
        under = f"under {attack.label} ({budget_text(attack)})"
        console.print(f"{held:,} of {len(rows):,} hold {under}", highlight=False, markup=False, soft_wrap=True)


def _share(probability: float | None) -> str:
    return "–" if probability is None else f"{probability:.3f}"

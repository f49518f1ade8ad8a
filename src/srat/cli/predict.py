"""The command ``srat predict``."""

import csv
import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.text import Text

from srat.attacks import PGD, AnyAttack, Natural, tell_doubts
from srat.attacks.named import named
from srat.cli.parsing import parse
from srat.data.image_files import together
from srat.devices import make_fabric
from srat.errors import printable, require
from srat.evaluation import describe_attack
from srat.files import write_atomically
from srat.interruption import deferring_signals
from srat.prediction import image_files, predict, read_images
from srat.report.budget import budget_text
from srat.report.live import LiveObserver, make_console
from srat.report.names import Name
from srat.report.scopes import print_whole, titled_table
from srat.run import load_with_facts
from srat.run_folder import Which
from srat.words import counted

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Say what images show, with a probability, and whether the prediction holds under attack within ε.

    Images are made what the training made of its own: grey or colour, resized. The attack is the one that the run was
    evaluated under; what holds under it may still fall to a stronger one.
    """

    words: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN IMAGE …")] = ()
    """The run's folder, or a file of its weights; then image files, and folders of them."""
    format: Literal["table", "csv", "json"] = "table"
    """A table for people; csv or json for programs."""
    out: Path | None = None
    """Write csv or json to this file; by default to the terminal."""
    attack: str | None = None
    """Attack that predictions are to hold under (pgd-50, autoattack, …); natural leaves that out."""
    epsilon: float | None = None
    """ε of the attack, in [0, 1] pixel units; as in the run's evaluation unless given."""
    weights: Which = "last"
    """The weights of the last epoch, or of the best on the held-out part."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


def run(args: list[str]) -> int:
    """Predict and show; return the exit code, 2 if a file could not be read."""
    arguments = parse(Arguments, args, command="predict", default=Arguments())
    example = "'srat predict runs/a photo.jpg folder/'"
    require(len(arguments.words) >= 2, f"srat predict: expected a run and images, as in {example}")
    out = arguments.out
    require(
        out is None or (out.parent.is_dir() and not out.is_dir()), f"--out: expected the name of a file, got '{out}'"
    )
    require(out is None or arguments.format != "table", "--out: expected --format csv or json with it, got a table")
    name, *images = arguments.words
    paths, passed = image_files([Path(each) for each in images])
    device = str(make_fabric(arguments.device).device)
    model, facts = load_with_facts(Path(name), which=arguments.weights, device=device)
    attack = chosen_attack(arguments, facts.config.evaluation)
    files, notes, wrong = read_images(paths, facts.shape, facts.config.data)
    console, progress = make_console(), Console(stderr=True)
    for note in (*passed, *notes):
        progress.print(f"srat: {printable(note)}", highlight=False, markup=False, soft_wrap=True)
    with deferring_signals() as interruption, LiveObserver(progress, interruption.check, lines=False) as observer:
        tell_doubts((attack,), files.shape[1:], observer.notice)
        found = predict(model, files, attack, class_names=facts.class_names, device=device, observer=observer)
    rows = [
        {
            "file": os.fsencode(path).decode(errors="backslashreplace"),
            "class": facts.class_names[each.label],
            "probability": round(each.probability, 4) if math.isfinite(each.probability) else None,
            "holds": each.holds,
            "attacked": None if each.attacked is None else facts.class_names[each.attacked],
        }
        for path, each in zip(files.paths, found, strict=True)
    ]
    if arguments.format == "table":
        show(rows, console, attack)
    else:
        text = as_csv(rows) if arguments.format == "csv" else as_json(rows, attack, len(facts.class_names))
        print(text, end="") if out is None else write_atomically(out, text)
    if wrong:
        raise together(wrong)
    return 0


def chosen_attack(arguments: Arguments, threat: PGD) -> AnyAttack:
    """Return the attack that predictions are to hold under."""
    if arguments.epsilon is not None:
        threat = replace(threat, epsilon=arguments.epsilon)
    return threat if arguments.attack is None else named(arguments.attack, threat)


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

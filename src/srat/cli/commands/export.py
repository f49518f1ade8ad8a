"""The command ``srat export``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from srat.cli.command_line import command_of
from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.config.config import Config
from srat.core.errors import printable, require
from srat.core.files import write_atomically
from srat.core.tensor_file import open_tensors, write_tensors
from srat.inference.exporting import KINDS
from srat.report.card import model_card
from srat.report.html.page import render
from srat.report.html.record import read_record
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import how_to_evaluate, opened
from srat.runs.run import ModelFacts, load_with_facts

OWN = ("folder", "arrays")
"""Data that only their owner knows where to find."""
_EXAMPLE = "'srat export runs/a --to onnx'"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Export a run's model, and check that the exported model computes the same.

    torch-export and onnx are one file each: images in [0, 1] → logits and probabilities, normalisation and the head's
    scale inside, class names in the metadata. hub is a folder with the weights, the configuration, the run's page and
    a model card that states data, threat model, accuracy of each class and limits.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """The run's folder."""
    to: Literal["torch-export", "onnx", "hub"] | None = None
    """Format to write."""
    out: Path | None = None
    """File to write, for hub a new or empty folder; by default model.pt2, model.onnx or hub in the run's folder."""
    weights: Which = "last"
    """The weights of the last epoch, of the best on the held-out part, or (raw) of the last one before averaging."""


def run(args: list[str]) -> int:
    """Write the file or folder; return the exit code."""
    arguments = parse(Arguments, args, command="export", default=Arguments())
    folder, config = opened(arguments.run, "export")
    require(arguments.to is not None, f"srat export: expected --to torch-export, onnx or hub, as in {_EXAMPLE}")
    say = make_console("export").print
    if arguments.to == "hub":
        out = arguments.out or folder.path / "hub"
        write_hub(folder, config, arguments.weights, out)
        said = f"{out}: model.safetensors, config.json, README.md, evaluation.json, report.html"
    else:
        name, write = KINDS[str(arguments.to)]
        out = arguments.out or folder.path / name
        require(
            out.parent.is_dir() and not out.is_dir(), f"--out: expected the name of a file in a folder, got '{out}'"
        )
        model, facts = load_with_facts(folder.path, which=arguments.weights)
        apart = write(model, facts, out)
        said = (
            f"{out}: {shape_said(facts)} → {len(facts.class_names)} classes; at most {apart:.0e} from the trained model"
        )
    say(printable(said), highlight=False, markup=False, soft_wrap=True)
    return 0


def shape_said(facts: ModelFacts) -> str:
    """Return the shape of the images that a model takes, as exported files take them."""
    shape = facts.shape
    return f"images (any number, {shape.channels}, {shape.height}, {shape.width}) in [0, 1]"


def without_place(config: Config) -> Config:
    """Return the configuration without where its data lie, which is nobody else's business."""
    return config if getattr(config.data, "dir", None) is None else replace(config, data=replace(config.data, dir=None))  # type: ignore[call-arg]


def write_hub(folder: RunFolder, config: Config, which: Which, out: Path) -> None:
    """Write a folder as model hubs have them.

    Raises:
        UserError: if the folder holds something, or the run is not evaluated.
    """
    strangers = out.exists() and (not out.is_dir() or any(out.iterdir()))
    require(not strangers, f"--out: expected a new or an empty folder, got '{out}'")
    _, facts = load_with_facts(folder.path, which=which)
    evaluation = folder.evaluation(which)
    advice = how_to_evaluate(folder, "" if which == "last" else " --weights best")
    require(evaluation.exists(), f"a model card needs an evaluation of the weights, {evaluation}: {advice}")
    config = without_place(config)
    command = command_of(config)
    command += " --data-dir DIR" if command and hasattr(config.data, "dir") and config.data.name in OWN else ""
    record = read_record(folder, config, command=command, which=which)
    out.mkdir(parents=True, exist_ok=True)
    weights = open_tensors(folder.weights(which)).tensors()
    write_tensors(out / "model.safetensors", weights, replace(facts, config=config).to_json(weights))
    for name, text in (
        ("config.json", config.to_json()),
        ("evaluation.json", record.evaluation.to_json()),
        ("report.html", render([record])),
        ("README.md", model_card(record, facts.shape)),
    ):
        write_atomically(out / name, text)

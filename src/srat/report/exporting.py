"""A run's model for other programs: one file that runs without this package, or a folder for a hub or RobustBench."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import nn

from srat.config.command_line import command_of
from srat.config.config import Config
from srat.core.checked import checked
from srat.core.errors import require
from srat.core.files import write_atomically
from srat.core.tensor_file import open_tensors, write_tensors
from srat.evaluation.record import Evaluation
from srat.inference.exporting import KINDS
from srat.models import ImageShape
from srat.report.card import bare_card, front_matter, model_card
from srat.report.html.page import render
from srat.report.html.record import RunRecord, read_record
from srat.report.robustbench import write_robustbench
from srat.report.usage import usage
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import how_to_evaluate, opened
from srat.runs.run import ModelFacts, load_with_facts

Format = Literal["torch-export", "onnx", "hub", "robustbench"]
OWN = ("folder", "arrays")
"""Data that only their owner knows where to find."""


@dataclass(frozen=True, kw_only=True)
class ExportedRun:
    """Where a run's model was exported to, and what it takes."""

    path: Path
    """The file, or the folder."""
    shape: ImageShape
    """Of the images that it takes, in [0, 1]."""
    class_names: tuple[str, ...]
    difference: float | None
    """How far what it computes is from the trained model, at most; None of weights, which are the same."""
    files: tuple[str, ...] = ()
    """What a folder has in it."""
    card: Path | None = None
    """What says how a file is used."""


@checked
def export_run(
    path: Path | str,
    to: Format,
    *,
    out: Path | str | None = None,
    which: Which = "last",
    model: nn.Module | None = None,
) -> ExportedRun:
    """Export a run's model, and check that what was exported computes the same.

    Args:
        path: the run's folder.
        to: "torch-export" or "onnx", one file: images in [0, 1] → logits and probabilities, with a card beside it
            (model.onnx.md) that has a program for photographs; "hub", a folder with the
            weights, the configuration, the run's page and a model card; "robustbench", a folder with the model as a
            program and a module that loads it, for which torch is enough, and its entry for RobustBench's table.
        out: the file, or a new or empty folder; by default model.pt2, model.onnx, hub or robustbench in the run's
            folder, of other weights than the last with their name, as in model-best.pt2.
        which: "last" for the weights of the last epoch, "best" for the best on the held-out part, "raw" for the last
            ones before averaging.
        model: the model to put the weights into, where the run was of the user's own.

    Raises:
        UserError: if there is no such run, it cannot be exported so, or ``out`` cannot be written.
    """
    folder, config = opened(path)
    suffix = "" if which == "last" else f"-{which}"
    files: Sequence[str] = ()
    difference: float | None = None
    card: Path | None = None
    if to == "hub":
        place = Path(out or folder.path / f"hub{suffix}")
        _, facts = load_with_facts(folder.path, which=which, model=model)
        files = write_hub(folder, config, facts, which, place)
    elif to == "robustbench":
        place = Path(out or folder.path / f"robustbench{suffix}")
        require_new(place)
        filled, facts = load_with_facts(folder.path, which=which, model=model)
        evaluation = folder.evaluation(which)
        known = Evaluation.read(evaluation) if evaluation.exists() else None
        files, difference = write_robustbench(filled, facts, known, which, place)
    else:
        name, write = KINDS[to]
        place = Path(out or folder.path / f"{Path(name).stem}{suffix}{Path(name).suffix}")
        writable = place.parent.is_dir() and not place.is_dir()
        require(writable, f"`out`: expected the name of a file in a folder, got '{place}'")
        filled, facts = load_with_facts(folder.path, which=which, model=model)
        text = _card(folder, config, facts, which, usage(to, place.name, facts))
        difference, card = write(filled, facts, place), place.with_name(f"{place.name}.md")
        write_atomically(card, text)
    return ExportedRun(
        path=place,
        shape=facts.shape,
        class_names=facts.class_names,
        difference=difference,
        files=tuple(files),
        card=card,
    )


def _card(folder: RunFolder, config: Config, facts: ModelFacts, which: Which, use: Sequence[str]) -> str:
    """Return the card of a file, with the results of its weights if there are any."""
    if not folder.evaluation(which).exists():
        return bare_card(facts, which, use)
    return model_card(_record(folder, without_place(config), which), use)


def require_new(out: Path) -> None:
    """Raise ``UserError`` unless a folder can be written without a mixture of old and new."""
    strangers = out.exists() and (not out.is_dir() or any(out.iterdir()))
    require(not strangers, f"`out`: expected a new or an empty folder, got '{out}'")


def write_hub(folder: RunFolder, config: Config, facts: ModelFacts, which: Which, out: Path) -> list[str]:
    """Write a folder as model hubs have them, and return its files.

    Raises:
        UserError: if the folder holds something, or the run is not evaluated.
    """
    require_new(out)
    evaluation = folder.evaluation(which)
    advice = how_to_evaluate(folder, "" if which == "last" else f" --weights {which}")
    require(evaluation.exists(), f"a model card needs an evaluation of the weights, {evaluation}: {advice}")
    config = without_place(config)
    record = _record(folder, config, which)
    out.mkdir(parents=True, exist_ok=True)
    weights = open_tensors(folder.weights(which)).tensors()
    write_tensors(out / "model.safetensors", weights, replace(facts, config=config).to_json(weights))
    texts = {
        "config.json": config.to_json(),
        "README.md": f"{front_matter(record)}\n\n{model_card(record, usage('hub', 'model.safetensors', facts))}",
        "evaluation.json": record.evaluation.to_json(),
        "report.html": render([record]),
    }
    for name, text in texts.items():
        write_atomically(out / name, text)
    return ["model.safetensors", *texts]


def _record(folder: RunFolder, config: Config, which: Which) -> RunRecord:
    """Return what a card tells of a run, whose configuration says nothing of its places any more."""
    command = command_of(config, [Path(path).name for path in folder.plugins])
    command += " --data-dir DIR" if command and hasattr(config.data, "dir") and config.data.name in OWN else ""
    return read_record(folder, config, command=command, which=which)


def without_place(config: Config) -> Config:
    """Return the configuration without where its data and first weights lie, which is nobody else's business."""
    config = replace(config, init=replace(config.init, path=None), model=config.model.without_place())
    return config if getattr(config.data, "dir", None) is None else replace(config, data=replace(config.data, dir=None))  # type: ignore[call-arg]

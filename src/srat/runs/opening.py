"""What looks at a finished run begins with."""

import shlex
from collections.abc import Callable
from pathlib import Path

import torch

from srat.config.composition import compose
from srat.config.config import Config
from srat.core.errors import require
from srat.data import Dataset, Parts, prepare
from srat.data.class_words import labels_of
from srat.models import ImageShape
from srat.runs.folder import RunFolder
from srat.runs.run import ModelFacts, image_shape


def opened(run: Path | str, data_dir: Path | str | None = None) -> tuple[RunFolder, Config]:
    """Return the folder of a run and its configuration, with its data where it is now.

    Raises:
        UserError: if there is no run.
    """
    folder = RunFolder(Path(run))
    require(folder.exists, f"'{run}' is not a run's folder: there is no config.json in it")
    return folder, compose(Config.read(folder.config, opening=True), data_dir=data_dir)


def parts_of(folder: RunFolder, config: Config, tell: Callable[[str], None]) -> Parts:
    """Return the parts of a run's data as it recorded them, after telling what has become of them since."""
    parts = config.data.parts(folder.record)
    for note in parts.notes:
        tell(note)
    return parts


def trained_images(folder: RunFolder, config: Config, parts: Parts) -> Dataset:
    """Return the images that the weights of a run learned from, as far as they are there.

    Args:
        folder: the run.
        config: its configuration.
        parts: of its data, as it recorded them.
    """
    if not (gone := frozenset(parts.missing.get("train", ()))):
        return prepare(parts, config.imbalance, config.holdout, seed=config.seed).train
    # The draw of a smaller set would be another: the run's own stands in its folder.
    record = folder.record
    assert record is not None
    labels = record.labels_of("train")
    chosen = labels_of(config.data.classes, record.classes)
    names = [name for name, label in zip(record.parts["train"], labels, strict=True) if not chosen or label in chosen]
    position = {name: place for place, name in enumerate(name for name in names if name not in gone)}
    learned = [position[names[index]] for index in folder.train_indices if names[index] in position]
    return parts.train().subset(torch.tensor(learned, dtype=torch.long))


def how_to_evaluate(folder: RunFolder, options: str = "") -> str:
    """Return the command that evaluates a run, with further options; where none can, why not."""
    if folder.of_own_model:
        in_python = f"srat.evaluate_run({str(folder.path)!r}, model=…) evaluates it in Python"
        return f"no command can build your own model; {in_python}"
    return f"'srat evaluate {shlex.quote(str(folder.path))}{options}' creates it"


def require_same_data(test: Dataset, facts: ModelFacts) -> None:
    """Raise ``UserError`` unless a test set has the classes and the size of the images that a model was trained on."""
    there, wanted = (test.class_names, image_shape(test)), (facts.class_names, facts.shape)
    said = f"expected {_said(*wanted)}, got {_said(*there)}"
    require(there == wanted, f"this test set is not of the data that the model was trained on: {said}")


def _said(class_names: tuple[str, ...], shape: ImageShape) -> str:
    return f"{len(class_names)} classes ({class_names[0]}, …), {shape.height} × {shape.width} × {shape.channels}"

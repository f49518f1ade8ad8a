"""What the commands that look at a finished run begin with."""

import shlex
from pathlib import Path

from srat.composition import compose
from srat.config import Config
from srat.data import Dataset
from srat.errors import require
from srat.models import ImageShape
from srat.run import ModelFacts, image_shape
from srat.run_folder import RunFolder


def opened(run: str, command: str, data_dir: Path | None = None) -> tuple[RunFolder, Config]:
    """Return the folder of a run and its configuration, with its data where it is now.

    Raises:
        UserError: if there is no run.
    """
    require(run != "", f"srat {command}: expected the folder of a run, as in 'srat {command} runs/a'")
    folder = RunFolder(Path(run))
    require(folder.exists, f"'{run}' is not a run's folder: there is no config.json in it")
    return folder, compose(Config.read(folder.config), data_dir=data_dir)


def how_to_evaluate(folder: RunFolder, options: str = "") -> str:
    """Return the command that evaluates a run, with further options; where none can, why not."""
    if folder.of_own_model:
        return "no command makes it, for the model is your own: srat.evaluate(model, images, labels) does, in Python"
    return f"'srat evaluate {shlex.quote(str(folder.path))}{options}' makes it"


def require_same_data(test: Dataset, facts: ModelFacts) -> None:
    """Raise ``UserError`` unless a test set has the classes and the size of the images that a model was trained on."""
    there, wanted = (test.class_names, image_shape(test)), (facts.class_names, facts.shape)
    said = f"expected {_said(*wanted)}, got {_said(*there)}"
    require(there == wanted, f"this test set is not of the data that the model was trained on: {said}")


def _said(class_names: tuple[str, ...], shape: ImageShape) -> str:
    return f"{len(class_names)} classes ({class_names[0]}, …), {shape.height} × {shape.width} × {shape.channels}"

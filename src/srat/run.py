"""A run's folder, and what comes back from training."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from srat.checkpoint import Tensors, read_tensors, write_tensors
from srat.config import Config
from srat.data import Dataset, TrainingData
from srat.errors import UserError, require
from srat.files import write_atomically
from srat.models import Classifier, ImageShape, build

Which = Literal["last", "best"]


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.path / "config.json"

    @property
    def indices(self) -> Path:
        """Which training images were kept and held out, with their hash."""
        return self.path / "indices.json"

    @property
    def metrics(self) -> Path:
        """A row an epoch."""
        return self.path / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def environment(self) -> Path:
        """Device, versions and time of the training."""
        return self.path / "environment.json"

    def weights(self, which: Which) -> Path:
        """The weights of the last epoch, or of the best on the held-out part."""
        return self.path / ("model.safetensors" if which == "last" else "model-best.safetensors")

    def evaluation(self, which: Which) -> Path:
        """The evaluation of those weights."""
        return self.path / ("evaluation.json" if which == "last" else "evaluation-best.json")

    def check(self, config: Config, *, resume: bool) -> None:
        """Refuse to train ``config`` in this folder if that would mix it with something else.

        Raises:
            UserError: if it holds another run, a finished one, or an unfinished one that was not asked to resume.
        """
        if not self.config.exists():
            strangers = self.path.is_dir() and any(self.path.iterdir())
            require(
                not strangers and not self.path.is_file(),
                f"--out: expected a new or an empty folder, got '{self.path}', which holds something else",
            )
            require(not resume, f"--resume: there is no run in '{self.path}'")
            return
        held = Config.read(self.config)
        names = f"{held.method}, id {held.id}; this is {config.method}, id {config.id}"
        require(held.id == config.id, f"--out: '{self.path}' holds another run ({names})")
        require(
            not self.weights("last").exists(),
            f"--out: the run in '{self.path}' is finished; 'srat evaluate {self.path}' evaluates it",
        )
        require(resume, f"--out: '{self.path}' holds this run, unfinished; --resume goes on with it")

    def start(self, config: Config, data: TrainingData) -> None:
        """Make the folder, and write what is known before the training: config.json and indices.json."""
        self.path.mkdir(parents=True, exist_ok=True)
        if self.indices.exists():
            same = json.loads(self.indices.read_text())["sha256"] == data.record()["sha256"]
            require(same, f"{self.indices}: the data has changed since this run began; it keeps other images now")
        write_atomically(self.config, config.to_json())
        write_atomically(self.indices, json.dumps(data.record()) + "\n")

    def write_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write metrics.csv."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_atomically(self.metrics, text.getvalue())

    def write_weights(self, which: Which, weights: Tensors, facts: "ModelFacts") -> None:
        """Write a model's weights with what is needed to build it again."""
        write_tensors(self.weights(which), weights, facts.to_json())


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a weights file says beside the weights."""

    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    shape: ImageShape
    epoch: int

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON-able values."""
        import srat

        return {
            "class_names": self.class_names,
            "train_counts": self.train_counts,
            "shape": vars(self.shape),
            "epoch": self.epoch,
            "srat_version": srat.__version__,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], path: Path) -> "ModelFacts":
        """Return the facts of a weights file.

        Raises:
            UserError: if they are not there.
        """
        try:
            return cls(
                class_names=tuple(str(name) for name in content["class_names"]),
                train_counts=tuple(int(count) for count in content["train_counts"]),
                shape=ImageShape(**{axis: int(length) for axis, length in content["shape"].items()}),
                epoch=int(content["epoch"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: the file says too little of its model ({error})") from error


def image_shape(dataset: Dataset) -> ImageShape:
    """Return the shape of a data set's images."""
    channels, height, width = dataset.images.shape[1:]
    return ImageShape(channels=channels, height=height, width=width)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What training gives back."""

    config: Config
    """What was trained."""
    folder: Path | None
    """Where it lies, or None if nothing was written."""
    model: nn.Module
    """The model with the weights of the last epoch."""
    best_epoch: int | None
    """The epoch that was best on the held-out part, counted from 0; None without such a part."""
    history: Sequence[Mapping[str, Any]]
    """A row of metrics for each epoch."""


def load(
    folder: Path | str, *, which: Which = "last", model: nn.Module | None = None, device: str = "cpu"
) -> nn.Module:
    """Return the trained model of a run's folder, in eval mode: images in [0, 1] → Output(logits, features, embedding).

    Args:
        folder: the run's folder.
        which: "last" for the weights of the last epoch, "best" for the best on the held-out part.
        model: the model to put the weights into, where the run was of the user's own.
        device: where to put it.

    Raises:
        UserError: if the folder holds no finished run, or its weights do not fit.
    """
    return load_with_facts(folder, which=which, model=model, device=device)[0]


def load_with_facts(
    folder: Path | str,
    *,
    which: Which = "last",
    model: nn.Module | None = None,
    device: str = "cpu",
) -> tuple[nn.Module, ModelFacts]:
    """Return what :func:`load` does, and what the weights file says beside the weights."""
    files = RunFolder(Path(folder))
    path = files.weights(which)
    require(files.config.exists(), f"'{folder}' is not a run's folder: there is no config.json in it")
    require(path.exists(), f"there is no {path.name} in '{folder}': {_why_missing(which)}")
    config = Config.read(files.config)
    weights, content = read_tensors(path)
    facts = ModelFacts.from_json(content, path)
    model = model if model is not None else _rebuild(config, facts)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{path}: these weights are of another model ({str(error).splitlines()[1].strip()})") from error
    return model.to(device).eval(), facts


def _rebuild(config: Config, facts: ModelFacts) -> Classifier:
    ones = torch.ones(facts.shape.channels)
    return build_model(config, shape=facts.shape, classes=len(facts.class_names), mean=ones, std=ones)


def build_model(
    config: Config, *, shape: ImageShape, classes: int, mean: torch.Tensor, std: torch.Tensor
) -> Classifier:
    """Return the freshly initialised model of a configuration."""
    return build(
        config.model,
        config.head.resolve(config.loss.head),
        shape=shape,
        classes=classes,
        mean=mean,
        std=std,
        projection=config.feature_loss.projection,
        seed=config.seed,
    )


def _why_missing(which: Which) -> str:
    if which == "best":
        return "the run held nothing out to choose a best epoch by, or is unfinished"
    return "the run is unfinished; 'srat train --out … --resume' goes on with it"

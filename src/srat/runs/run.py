"""A run that has ended: its model, and what its weights say of themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srat.config.composition import compose
from srat.config.config import Config, member_from_plain, member_to_plain
from srat.core.checked import checked
from srat.core.errors import UserError, require
from srat.core.gradients import taking_gradients
from srat.core.keyed_random import generator
from srat.core.structuring import strict_converter, structured
from srat.core.tensor_file import TensorFile, open_tensors
from srat.core.warn import warn
from srat.data import Dataset, Parts
from srat.evaluation.temperature import LEAST, MOST
from srat.models import Classifier, Head, ImageShape, build
from srat.models.asking import device_of, get_ready, trainable
from srat.models.heads import LinearHead
from srat.models.wrapping.renaming import present_names
from srat.models.wrapping.statistics import tell_of_normalization
from srat.runs.calibration import calibration_of
from srat.runs.folder import RunFolder, Which
from srat.runs.metrics import Row
from srat.runs.plugins import require_model_known
from srat.runtime.machine import as_device
from srat.version import version

_LONGEST_SIDE = 1 << 16


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a weights file says beside the weights: enough to build the model again, and to know what it is."""

    config: Config
    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    shape: ImageShape
    epoch: int
    temperature: float = 1.0
    """What logits are divided by for probabilities that say how often the model is right (`srat calibrate`)."""
    head: Head = LinearHead()
    """What the loss was made for; it says so itself, unless it is of a plugin that is not there."""
    projection: int = 0
    """Dimensions of the features' projection, which the feature loss asks for; likewise."""

    @property
    def loss_head(self) -> Head:
        """The head that the loss is made for."""
        return self.head if "loss" in self.config.missing else self.config.loss.head

    @property
    def feature_projection(self) -> int:
        """Dimensions of the features' projection; 0 for none."""
        return self.projection if "feature_loss" in self.config.missing else self.config.feature_loss.projection

    def to_json(self, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the facts as JSON-able values, with the normalisation that the weights hold."""
        return {
            "config": self.config.to_plain(),
            "class_names": self.class_names,
            "train_counts": self.train_counts,
            "shape": vars(self.shape),
            **({} if type(self.loss_head) is LinearHead else {"head": member_to_plain(self.loss_head)}),
            **({"projection": self.feature_projection} if self.feature_projection else {}),
            "normalization": {name: weights[f"normalization.{name}"].flatten().tolist() for name in ("mean", "std")},
            "epoch": self.epoch,
            "srat_version": version(),
            **({} if self.temperature == 1 else {"temperature": self.temperature}),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], path: Path) -> "ModelFacts":
        """Return the facts of a weights file.

        Raises:
            UserError: if they are not there.
        """
        try:
            facts = structured(content, cls, _CONVERTER)
            require(len(facts.class_names) == len(facts.train_counts) >= 2, "classes and counts do not match")
            require(LEAST <= facts.temperature <= MOST, "no temperature of probabilities")
            require(all(1 <= length <= _LONGEST_SIDE for length in vars(facts.shape).values()), "no shape of images")
        except UserError as error:
            raise UserError(f"{path}: the file does not say what its model is ({error})") from error
        return facts


_CONVERTER = strict_converter(other_keys=True)
_CONVERTER.register_structure_hook(Head, lambda content, _: member_from_plain(content, Head))
_CONVERTER.register_structure_hook(Config, lambda content, _: Config.from_plain(content, opening=True))
_CONVERTER.register_structure_hook(ImageShape, lambda sides, _: ImageShape(**sides))


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
    history: Sequence[Row]
    """A row of metrics for each epoch."""
    seconds: float
    """How long the training took, over all sessions."""


@checked
def data_of(path: Path | str, *, data_dir: Path | str | None = None) -> Parts:
    """Return the data of a run as it recorded them: ``.train()``, ``.validation()`` and ``.test()``.

    What lies in a folder can change. A run keeps the images that it drew, by name and content, so that none that it
    trained on is in its test part, wherever that image lies today; ``config.data.test()`` draws again.

    Args:
        path: the run's folder.
        data_dir: where the images are now; by default where they were.

    Raises:
        UserError: if there is no such run, it has recorded no data yet, or its data are gone.

    Warns:
        UserWarning: on what became of the images since: changed, gone, or new.
    """
    folder = RunFolder(Path(path))
    _require_run(folder)
    begun = f"the run in '{folder.path}' has recorded no data yet: {folder.how_to_go_on} it"
    require(folder.indices.exists(), begun)
    parts = compose(Config.read(folder.config, opening=True), data_dir=data_dir).data.parts(folder.record)
    for note in parts.notes:
        warn(note)
    return parts


@taking_gradients
@checked
def load_with_facts(
    path: Path | str,
    *,
    which: Which = "last",
    model: nn.Module | None = None,
    device: str | torch.device = "cpu",
    calibrated: bool = True,
) -> tuple[nn.Module, ModelFacts]:
    """Return the trained model of a run, in eval mode, and what its weights' file says beside the weights.

    The temperature is the one that the run's folder holds, else the file's own.

    Args:
        path: the run's folder, or a file of weights from one, which needs nothing beside it.
        which: "last" for the weights of the last epoch, "best" for the best on the held-out part, "raw" for the last
            ones before averaging.
        model: the model to put the weights into, where the run was of the user's own.
        device: where to put it: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.
        calibrated: whether to look for a temperature; accuracies need none.

    Raises:
        UserError: if there are no such weights, they are damaged or do not fit, or there is no such device.

    Warns:
        UserWarning: if the given model normalises by other numbers than the weights, whose are taken.
    """
    there, weights = as_device(device), _open(path, which)
    facts = ModelFacts.from_json(weights.facts, weights.path)
    calibration = calibration_of(RunFolder(Path(path)), which) if calibrated and not Path(path).is_file() else None
    if calibration is not None:
        facts = replace(facts, temperature=calibration.temperature)
    return _filled(weights, model, there), facts


def _open(path: Path | str, which: Which) -> TensorFile:
    return open_tensors(Path(path) if Path(path).is_file() else weights_of(RunFolder(Path(path)), which))


def _filled(weights: TensorFile, model: nn.Module | None, device: torch.device) -> nn.Module:
    """Return the model with these weights: the user's own, or one built as the weights file says."""
    facts, given = ModelFacts.from_json(weights.facts, weights.path), model is not None
    if model is None:
        require_model_known(facts.config, RunFolder(weights.path.parent))
        # Built without memory first: what a stranger's file says of its size is true, or goes no further.
        with torch.device("meta"):
            check_shapes(_rebuild(facts), weights)
        model = _rebuild(facts)
    else:
        model = trainable(model)
        some = torch.rand(2, *vars(facts.shape).values(), generator=generator(0, "load"))
        get_ready(model, some.to(device_of(model, some.device)))
    check_shapes(model, weights)
    names = present_names(model, weights.shapes)
    tensors = {names[name]: tensor for name, tensor in weights.tensors().items()}
    if given:
        tell_of_normalization(model, tensors)
    model.load_state_dict(tensors)
    return model.to(device).eval()


def read_facts(path: Path) -> ModelFacts:
    """Return what a weights file says beside the weights."""
    return ModelFacts.from_json(open_tensors(path).facts, path)


def check_shapes(model: nn.Module, weights: TensorFile) -> None:
    """Raise ``UserError`` unless the weights are those of such a model, by names and shapes; nothing is read yet."""
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    names = present_names(model, weights.shapes)
    given = {names[name]: shape for name, shape in weights.shapes.items()}
    odd = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
    if odd:
        said = f"{odd[0]}: expected {wanted.get(odd[0], 'nothing')}, got {given.get(odd[0], 'nothing')}"
        raise UserError(f"{weights.path}: these weights are of another model ({said})")


def build_model(
    config: Config,
    *,
    shape: ImageShape,
    classes: int,
    mean: torch.Tensor,
    std: torch.Tensor,
    class_counts: Sequence[int] | None = None,
) -> Classifier:
    """Return the freshly initialised model of a configuration; what is given is told in `srat.models.build`."""
    return build(
        config.model,
        config.head.resolve(config.loss.head),
        shape=shape,
        classes=classes,
        mean=mean,
        std=std,
        projection=config.feature_loss.projection,
        class_counts=class_counts,
        seed=config.seed,
    )


def _rebuild(facts: ModelFacts) -> Classifier:
    # Statistics and counts of the data come with the weights.
    ones, classes = torch.ones(facts.shape.channels), len(facts.class_names)
    config = facts.config
    return build(
        config.model,
        config.head.resolve(facts.loss_head),
        shape=facts.shape,
        classes=classes,
        mean=ones,
        std=ones,
        projection=facts.feature_projection,
        class_counts=(1,) * classes,
        seed=config.seed,
    )


def _require_run(folder: RunFolder) -> None:
    require(folder.exists, f"'{folder.path}' is not a run's folder: there is no config.json in it")


def weights_of(folder: RunFolder, which: Which) -> Path:
    """Return the file of a run's weights, or raise ``UserError`` that says why there is none."""
    file = folder.weights(which)
    _require_run(folder)
    why = {
        "best": "the run held out no images to choose a best epoch with",
        "raw": "the run averaged no weights, so its last ones are the raw ones",
    }.get(which if folder.trained else "last", f"the run is unfinished; {folder.how_to_go_on} it")
    require(file.exists(), f"there is no {file.name} in '{folder.path}': {why}")
    return file

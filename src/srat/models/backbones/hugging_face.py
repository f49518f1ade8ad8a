"""Any image classifier of ``transformers``, from a folder or the hub, with its own weights, normalisation and size."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from srat.core.errors import UserError, require, require_field
from srat.core.files import parse_json
from srat.core.members import NOT_IDENTITY
from srat.core.tensor_file import require_named
from srat.models.classifier import Architecture, ImageShape
from srat.models.transformers_folder import (
    MISSING,
    architecture_of,
    checksum_of,
    class_names,
    classes_of_head,
    description_in,
    folder_of,
    inputs_in,
)
from srat.models.weights import Weights

_LABELS = 1213
"""Classes of the head that is taken off: as many outputs as no other layer has."""


@dataclass(frozen=True, kw_only=True)
class HuggingFace(Architecture, name="hugging-face"):
    """An image classifier of transformers: a folder that save_pretrained wrote, or a model of the hub.

    Its weights are where training starts, but for its last layer where the classes are others. Images are resized to
    its size (bilinear) and normalised by its mean and deviation within the model, so that ε is in pixels of the data.
    No code and no pickle of the folder is read, and a run keeps all that it needs of it.
    """

    path: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """Folder with config.json and model.safetensors, or the name of a model on the hub."""
    sha256: str = ""
    """Checksum of its weights, which says which they are wherever they lie; read from them unless given."""
    architecture: str = ""
    """What its config.json says of the network, as JSON; read from there unless given."""
    size: tuple[int, int] = (0, 0)
    """Height and width that images are resized to; the model's own unless given, the images' where it says none."""
    mean: tuple[float, ...] = ()
    """Mean of each channel in [0, 1] pixel units; the model's own unless given, the data's where it says none."""
    std: tuple[float, ...] = ()
    """Deviation of each channel, likewise."""

    def __post_init__(self) -> None:
        if self.path and not self.architecture:
            folder = folder_of(self.path)
            own = {
                "path": self.path.absolute() if self.path.is_dir() else self.path,
                "sha256": self.sha256 or checksum_of(folder),
                "architecture": json.dumps(architecture_of(description_in(folder))),
                **{name: value for name, value in inputs_in(folder).items() if not any(getattr(self, name))},
            }
            for name, value in own.items():
                object.__setattr__(self, name, value)
        require_field(all(0 <= side <= 4096 for side in self.size), "model.size", "0 to 4,096", list(self.size))
        same = len(self.mean) == len(self.std) and all(0 < each < 1e3 for each in self.std)
        require_field(same, "model.std", "a positive number for each of `model.mean`", list(self.std))

    @property
    @override
    def is_trained(self) -> bool:
        return bool(self.sha256) or not self.architecture  # chosen by name, its folder is yet to come

    @override
    def backbone(self, shape: ImageShape) -> tuple[nn.Module, int]:
        classifiers = _classes_of(_network(self.architecture)[0])
        with _quietly():
            model = classifiers.from_config(_settings(self.architecture, _LABELS))
        head = _head_of(model, _LABELS)
        dimensions = model.get_submodule(head).in_features
        parent, _, name = head.rpartition(".")
        setattr(model.get_submodule(parent), name, nn.Identity())
        return Featurizer(model, (shape.height, shape.width), self.size if all(self.size) else None), dimensions

    @override
    def normalization(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        given = len(mean)
        own = (torch.tensor(self.mean), torch.tensor(self.std)) if self.mean else (mean, std)
        wanted = int(_network(self.architecture)[1].get("num_channels", 3))
        fits = given in (1, wanted) and len(own[0]) in (1, wanted)
        require(fits, f"`model` {self.name}: expected images of {wanted} channels or one, got {given}")
        return own[0].expand(wanted), own[1].expand(wanted)

    @override
    def without_place(self) -> "HuggingFace":
        return replace(self, path=None)

    @override
    def weights(self) -> Weights | None:
        if not self.sha256:
            return None
        require_field(self.path is not None, "model.path", f"where the weights {self.sha256} lie", "none")
        assert self.path is not None
        folder = folder_of(self.path)
        require_named(checksum_of(folder), self.sha256, f"`model.path` '{self.path}'")
        names = class_names(description_in(folder))
        settings = _settings(self.architecture, len(names) or classes_of_head(description_in(folder)))
        classifiers = _classes_of(_network(self.architecture)[0])
        with _quietly(), torch.random.fork_rng(devices=[]):
            model, info = classifiers.from_pretrained(
                folder,
                config=settings,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
        head = f"{_head_of(model, settings.num_labels)}."
        state = {
            f"head.{name.removeprefix(head)}" if name.startswith(head) else f"backbone.model.{name}": tensor
            for name, tensor in model.state_dict().items()
            if name not in info["missing_keys"]  # which are at random
        }
        if self.mean:
            own = self.normalization(torch.empty(len(self.mean)), torch.empty(0))
            state |= {
                f"normalization.{name}": each[:, None, None] for name, each in zip(("mean", "std"), own, strict=True)
            }
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        return Weights(
            self.path,
            shapes,
            lambda wanted: {name: state[name] for name in wanted},
            tuple(names) or None,
            setting="model.path",
        )


class Featurizer(nn.Module):
    """Normalised images → the features of a transformers classifier whose last layer was taken off.

    Resizing is a matrix on either side of an image, R x Cᵀ: its gradient is the same at each call on every device.

    Args:
        model: pixel_values → an output with .logits.
        given: height and width of the images.
        size: what they are resized to; None to leave them.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, model: nn.Module, given: tuple[int, int], size: tuple[int, int] | None) -> None:
        super().__init__()
        self.model = model
        self.resizes = size is not None and size != given
        if size is not None and self.resizes:
            for name, there, wanted in zip(("rows", "columns"), given, size, strict=True):
                self.register_buffer(name, resizing(there, wanted), persistent=False)

    @override
    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch dimensions"]:
        """Return the features."""
        if self.resizes:
            x = self.rows.to(x) @ x @ self.columns.to(x).T
        features: Tensor = self.model(pixel_values=x, return_dict=True).logits
        return features.flatten(1)


def resizing(there: int, wanted: int) -> Float[Tensor, "wanted there"]:
    """Return the matrix that resizes a column of pixels, bilinear, with a wider filter where it becomes smaller.

    Args:
        there: pixels that it has.
        wanted: pixels that it is to have.
    """
    one = torch.eye(there)[None, None]
    return F.interpolate(one, size=(wanted, there), mode="bilinear", antialias=True)[0, 0]


def _network(architecture: str) -> tuple[str, dict[str, Any]]:
    """Return the kind of a network, "vit", and its settings."""
    require_field(bool(architecture), "model.path", "a folder, or the name of a model on the hub", "none")
    settings = parse_json(architecture, where="`model.architecture`")
    require(isinstance(settings, dict), f"`model.architecture`: expected an object, got {type(settings).__name__}")
    settings = architecture_of(settings)  # a stranger's run, too, names no code
    return str(settings.pop("model_type", "")), settings


def _settings(architecture: str, classes: int) -> Any:
    """Return the settings of a network as transformers has them, for so many classes."""
    kind, settings = _network(architecture)
    _classes_of(kind)
    from transformers import AutoConfig

    with _told_of_what_fails("model.architecture"):
        return AutoConfig.for_model(kind, **settings, num_labels=classes)


def _classes_of(kind: str) -> Any:
    """Return what makes image classifiers of transformers.

    Raises:
        UserError: if there is none of that kind, or the package is missing.
    """
    try:
        from transformers import AutoModelForImageClassification
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as KINDS
    except ImportError as error:
        raise UserError(MISSING) from error
    require_field(kind in KINDS, "model.path", "an image classifier of transformers", f"one of the kind '{kind}'")
    return AutoModelForImageClassification


def _head_of(model: nn.Module, classes: int) -> str:
    """Return the name of a classifier's last layer."""
    linear = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    found = [name for name in linear if model.get_submodule(name).out_features == classes]
    one = f"`model.path`: expected a {type(model).__name__} with one linear layer for {classes} classes"
    require(bool(found), f"{one}, got none")
    return str(found[-1])


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep transformers from printing, and tell in a line what it raises."""
    from transformers.utils import logging as typed_nowhere

    logging: Any = typed_nowhere
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with _told_of_what_fails("model.path"):
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _told_of_what_fails(setting: str) -> Iterator[None]:
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a stranger's settings may raise anything
        why = " ".join(str(error).split())[:300]
        raise UserError(f"`{setting}`: transformers cannot make this model ({type(error).__name__}: {why})") from error

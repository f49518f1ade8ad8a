"""Any image classifier of ``transformers``, from a folder or the hub, with its own weights, normalisation and size."""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from srat.core.errors import UserError, require, require_field
from srat.core.files import parse_json, read_bounded
from srat.core.members import NOT_IDENTITY
from srat.core.tensor_file import LAST, content_of, require_named
from srat.core.words import few
from srat.models.classifier import Architecture, ImageShape
from srat.models.weights import Weights

_LARGEST = 1 << 20
"""Bytes of a description that are read at the most."""
_INDEX = f"{LAST}.index.json"
_LABELS = 1213
"""Classes of the head that is taken off: as many outputs as no other layer has."""
_NOT_ARCHITECTURE = re.compile(
    r"_.*|architectures|attn_implementation|auto_map|custom_pipelines|dtype|id2label|label2id|name_or_path|num_labels"
    r"|output_\w+|problem_type|quantization_config|return_dict|torch_dtype|transformers_version|use_return_dict"
)
"""Keys of a config.json that say where a model comes from, how it is loaded or what it returns; some name code."""
_ON_HUB = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


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
            folder = _found(self.path)
            own = {
                "path": self.path.absolute() if self.path.is_dir() else self.path,
                "sha256": self.sha256 or _content(folder),
                "architecture": json.dumps(_architecture(_described(folder))),
                **{name: value for name, value in _inputs(folder).items() if not any(getattr(self, name))},
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
        folder = _found(self.path)
        require_named(_content(folder), self.sha256, f"`model.path` '{self.path}'")
        names = _class_names(_described(folder))
        settings = _settings(self.architecture, len(names) or _classes_of_head(_described(folder)))
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
    settings = _architecture(settings)  # a stranger's run, too, names no code
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
        raise UserError("`model` hugging-face needs transformers: pip install 'srat[hugging-face]'") from error
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


def _found(path: Path) -> Path:
    """Return the folder of a model: a local one, or that of the hub's cache, which is filled if it can be reached.

    Raises:
        UserError: if there is none, or it holds no weights of safetensors.
    """
    wanted = f"`model.path` '{path}': expected a folder with config.json and {LAST}, or the name of a model on the hub"
    folder = path
    if not folder.is_dir():
        require(_ON_HUB.fullmatch(str(path)) is not None, f"{wanted}; there is no such folder")
        folder = _of_hub(str(path), wanted)
    files = sorted(file.name for file in folder.iterdir())
    there = f"there are: {few(files) or 'no files'}"
    pickles = [name for name in files if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    there += f"; {few(pickles)} may run code, and is not read" * bool(pickles)
    require(_is_whole(folder), f"{wanted}; {there}")
    return folder


def _is_whole(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any((folder / name).is_file() for name in (LAST, _INDEX))


def _of_hub(name: str, wanted: str) -> Path:
    """Return the folder of a model of the hub: from the cache where it is whole there, without the network."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError as error:
        raise UserError("`model` hugging-face needs transformers: pip install 'srat[hugging-face]'") from error
    patterns = ["config.json", "preprocessor_config.json", "model*.safetensors", _INDEX]
    with contextlib.suppress(LocalEntryNotFoundError):
        cached = Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
        if _is_whole(cached):
            return cached
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # of the network, the hub, the disk
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        raise UserError(f"{wanted}; it is not in the cache and cannot be fetched ({why})") from error


def _described(folder: Path) -> dict[str, Any]:
    return _object(folder / "config.json")


def _object(path: Path) -> dict[str, Any]:
    content = parse_json(read_bounded(path, _LARGEST), where=path)
    require(isinstance(content, dict), f"{path}: expected an object, got {type(content).__name__}")
    return dict(content)


def _architecture(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a config.json makes the network, whatever of it names code, classes or files."""
    return {
        name: _architecture(value) if isinstance(value, Mapping) else value
        for name, value in sorted(described.items())
        if not _NOT_ARCHITECTURE.fullmatch(name)
    } | ({"use_pretrained_backbone": False} if "use_pretrained_backbone" in described else {})


def _class_names(described: Mapping[str, Any]) -> list[str]:
    """Return the names of a model's classes; none where they are only numbered."""
    names = described.get("id2label")
    if not isinstance(names, Mapping) or not all(key.isdecimal() for key in names):
        return []
    ordered = [str(names[key]) for key in sorted(names, key=int)]
    return [] if all(re.fullmatch(r"LABEL_\d+", name) for name in ordered) else ordered


def _classes_of_head(described: Mapping[str, Any]) -> int:
    """Return how many classes the last layer of a model without names has; transformers means two by nothing."""
    names, count = described.get("id2label"), described.get("num_labels", 2)
    return len(names) if isinstance(names, Mapping) else int(count)


def _content(folder: Path) -> str:
    """Return the checksum of a model's weights, which may lie in several files."""
    if (folder / LAST).is_file():
        return content_of(folder / LAST)
    shards = _object(folder / _INDEX).get("weight_map", {})
    names = sorted({str(name) for name in shards.values()}) if isinstance(shards, Mapping) else []
    plain = bool(names) and all(Path(name).name == name for name in names)
    require(plain, f"{folder / _INDEX}: expected the names of files beside it")
    return hashlib.sha256("".join(content_of(folder / name) for name in names).encode()).hexdigest()


def _inputs(folder: Path) -> dict[str, Any]:
    """Return size, mean and deviation of a model's images, as far as its folder says them.

    With images in [0, 1], a rescaling of bytes by f and an offset o, (255 f x + o − m) / s is (x − (m − o) / 255 f) /
    (s / 255 f).
    """
    said = _object(folder / "preprocessor_config.json") if (folder / "preprocessor_config.json").is_file() else {}
    turned = f"`model.path` '{folder}': expected a model of RGB images, got one of BGR (do_flip_channel_order)"
    require(not said.get("do_flip_channel_order"), turned)
    found: dict[str, Any] = {"size": _size(said) or _sides(_described(folder).get("image_size")) or (0, 0)}
    if said:
        unit = 255 * float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 255.0
        offset = -1.0 if said.get("rescale_offset") else 0.0
        normal = said.get("do_normalize", True) and "image_mean" in said
        mean, std = (_numbers(said[name]) for name in ("image_mean", "image_std")) if normal else ((0.0,), (1.0,))
        found["mean"] = tuple((each - offset) / unit for each in mean)
        found["std"] = tuple(each / unit for each in std)
    return found


def _numbers(value: Any) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) else [value]
    plain = all(isinstance(each, int | float) for each in numbers)
    require(plain, "`model.path`: expected numbers for mean and deviation in preprocessor_config.json")
    return tuple(map(float, numbers))


def _size(said: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the size that images have when a model sees them, as a preprocessor_config.json says it."""
    cropped = _sides(said.get("crop_size")) if said.get("do_center_crop") else None
    return cropped or _sides(said.get("size"))


def _sides(value: Any) -> tuple[int, int] | None:
    if isinstance(value, Mapping):
        edge = value.get("shortest_edge")
        value = [value.get("height", edge), value.get("width", edge)]
    sides = value if isinstance(value, list | tuple) else [value, value]
    return (sides[0], sides[1]) if len(sides) == 2 and all(type(side) is int and side > 0 for side in sides) else None

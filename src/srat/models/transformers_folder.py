"""The folder of an image classifier of ``transformers``, here or of the hub: what it says; no code of it is read."""

import contextlib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from srat.core.errors import UserError, require
from srat.core.files import parse_json, read_bounded
from srat.core.tensor_file import LAST, content_of
from srat.core.words import few

MISSING = "`model` hugging-face needs transformers: pip install 'srat[hugging-face]'"
_LARGEST = 1 << 20
"""Bytes of a description that are read at the most."""
_INDEX = f"{LAST}.index.json"
_NOT_ARCHITECTURE = re.compile(
    r"_.*|architectures|attn_implementation|auto_map|custom_pipelines|dtype|id2label|label2id|name_or_path|num_labels"
    r"|output_\w+|problem_type|quantization_config|return_dict|torch_dtype|transformers_version|use_return_dict"
)
"""Keys of a config.json that say where a model comes from, how it is loaded or what it returns; some name code."""
_ON_HUB = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def folder_of(path: Path) -> Path:
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
        raise UserError(MISSING) from error
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


def description_in(folder: Path) -> dict[str, Any]:
    """Return what a model's config.json says."""
    return _object(folder / "config.json")


def _object(path: Path) -> dict[str, Any]:
    content = parse_json(read_bounded(path, _LARGEST), where=path)
    require(isinstance(content, dict), f"{path}: expected an object, got {type(content).__name__}")
    return dict(content)


def architecture_of(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a config.json makes the network, whatever of it names code, classes or files."""
    return {
        name: architecture_of(value) if isinstance(value, Mapping) else value
        for name, value in sorted(described.items())
        if not _NOT_ARCHITECTURE.fullmatch(name)
    } | ({"use_pretrained_backbone": False} if "use_pretrained_backbone" in described else {})


def class_names(described: Mapping[str, Any]) -> list[str]:
    """Return the names of a model's classes; none where they are only numbered."""
    names = described.get("id2label")
    if not isinstance(names, Mapping) or not all(key.isdecimal() for key in names):
        return []
    ordered = [str(names[key]) for key in sorted(names, key=int)]
    return [] if all(re.fullmatch(r"LABEL_\d+", name) for name in ordered) else ordered


def classes_of_head(described: Mapping[str, Any]) -> int:
    """Return how many classes the last layer of a model without names has; transformers means two by nothing."""
    names, count = described.get("id2label"), described.get("num_labels", 2)
    return len(names) if isinstance(names, Mapping) else int(count)


def checksum_of(folder: Path) -> str:
    """Return the checksum of a model's weights, which may lie in several files."""
    if (folder / LAST).is_file():
        return content_of(folder / LAST)
    shards = _object(folder / _INDEX).get("weight_map", {})
    names = sorted({str(name) for name in shards.values()}) if isinstance(shards, Mapping) else []
    plain = bool(names) and all(Path(name).name == name for name in names)
    require(plain, f"{folder / _INDEX}: expected the names of files beside it")
    return hashlib.sha256("".join(content_of(folder / name) for name in names).encode()).hexdigest()


def inputs_in(folder: Path) -> dict[str, Any]:
    """Return size, mean and deviation of a model's images, as far as its folder says them.

    With images in [0, 1], a rescaling of bytes by f and an offset o, (255 f x + o − m) / s is (x − (m − o) / 255 f) /
    (s / 255 f).
    """
    said = _object(folder / "preprocessor_config.json") if (folder / "preprocessor_config.json").is_file() else {}
    turned = f"`model.path` '{folder}': expected a model of RGB images, got one of BGR (do_flip_channel_order)"
    require(not said.get("do_flip_channel_order"), turned)
    found: dict[str, Any] = {"size": _size(said) or _sides(description_in(folder).get("image_size")) or (0, 0)}
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

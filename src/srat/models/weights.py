"""Weights of any origin: a file of ours, of safetensors, or a state dict of torch, of which no code runs."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from srat.core.errors import UserError, require
from srat.core.tensor_file import Tensors

_EXPECTED = "expected a file of safetensors, or a state dict of torch without anything but tensors"
_DEEPEST = 4
"""Mappings around a state dict, at the most."""


class Weights(NamedTuple):
    """Tensors by name, which are read only where they are asked for."""

    path: Path
    """Where they come from."""
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[Iterable[str]], Tensors]
    """Names → tensors."""
    class_names: tuple[str, ...] | None = None
    """Of the classes that the last layer tells apart; None if that is not known."""
    setting: str = "init.path"
    """The path in a configuration that names them."""


def open_weights(path: Path) -> Weights:
    """Return the weights in a file, of which no code runs.

    Args:
        path: a file of safetensors, or a state dict that ``torch.save`` wrote; one that lies within a checkpoint, as
            under "state_dict", is found.

    Raises:
        UserError: if the file cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
        weights = _of_safetensors(path) if head[8:] == b"{" else _of_torch(path)
        require(bool(weights.shapes), f"{path}: {_EXPECTED}, got no tensor in it")
        return weights
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


def _of_safetensors(path: Path) -> Weights:
    def read(names: Iterable[str]) -> Tensors:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in names}

    try:
        with safe_open(str(path), framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a dict
            metadata = file.metadata() or {}
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: {_EXPECTED}, or it is damaged ({error})") from error
    return Weights(path, shapes, read, _class_names(metadata.get("class_names", "")))


def _class_names(text: str) -> tuple[str, ...] | None:
    """Return the names that a header of ours has; None of what is none."""
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        return None
    plain = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if plain else None


def _of_torch(path: Path) -> Weights:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of an unpickler, a stranger's bytes may raise anything
        why = str(error).strip().partition("\n")[0]
        raise UserError(f"{path}: {_EXPECTED} ({type(error).__name__}: {why[:200]})") from error
    tensors = _state_dict(content)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return Weights(path, shapes, lambda names: {name: tensors[name] for name in names})


def _state_dict(content: Any, depth: int = 0) -> dict[str, Tensor]:
    """Return the tensors by name of what was saved: of several state dicts in it, the largest."""
    if not isinstance(content, Mapping) or depth == _DEEPEST:
        return {}
    own = {name: each for name, each in content.items() if isinstance(name, str) and isinstance(each, Tensor)}
    found = [own, *(_state_dict(each, depth + 1) for each in content.values())]
    return max(found, key=lambda tensors: sum(math.prod(tensor.shape) for tensor in tensors.values()))

"""Where the logits are in what a model returns."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from srat.errors import UserError, require

Pick = int | str | None
"""Which part of a model's output its logits are: an index or a key; None to find them."""
PROBABILITIES = (
    "the model returns probabilities where logits are expected: attacks on them are weak, and robustness looks better "
    "than it is; take the softmax out of its forward, or return log-softmax"
)
"""What is to be said of a model that ends in softmax."""


def logits_of(
    output: object, *, batch: int | torch.SymInt | None = None, pick: Pick = None
) -> Float[Tensor, "batch classes"]:
    """Return the logits in what a model returns.

    They are the output itself, its ``.logits``, its entry "logits", or its only floating-point tensor of two axes; of
    several of one shape, the first (the others are of auxiliary heads).

    Args:
        output: a tensor, an object with ``.logits``, a mapping, a tuple, a list or a dataclass.
        batch: how many images were given, a symbol where that is traced; None if it does not matter.
        pick: index or key of the logits within the output.

    Raises:
        UserError: if there are no logits, it cannot be told which they are, or they are not those of the images.
    """
    logits = _found(output) if pick is None else _picked(output, pick)
    if not isinstance(logits, Tensor) or (mistake := _mistake(logits, batch)):
        wanted = "model: expected logits, floating-point (batch, classes)"
        raise UserError(f"{wanted}, got {mistake if isinstance(logits, Tensor) else described(output)}")
    return logits


def are_probabilities(logits: Float[Tensor, "batch classes"]) -> bool:
    """Return whether every row is of numbers ≥ 0 that sum to 1, up to the rounding of half precision."""
    sums = logits.double().sum(dim=1)
    return bool((logits >= 0).all() and ((sums - 1).abs() < 5e-3).all())


def _found(output: object) -> object:
    if isinstance(output, Tensor):
        return output
    if isinstance(named := getattr(output, "logits", None), Tensor):
        return named
    parts = _parts(output)
    if isinstance(named := parts.get("logits"), Tensor):
        return named
    first = next((place for place, part in enumerate(parts.values()) if _is_table(part)), len(parts))
    # What lies deeper behind the logits of a tuple is of hidden layers; elsewhere it might be the logits.
    looked_at = {
        name: part
        for place, (name, part) in enumerate(parts.items())
        if isinstance(part, Tensor) or isinstance(output, Mapping) or place < first
    }
    tables = [tensor for tensor in _tensors(looked_at) if _is_table(tensor)]
    if len({table.shape for table in tables}) > 1:
        said = f"which of its outputs are the logits cannot be told: {described(output)}"
        raise UserError(f"model: {said}; say so: srat.models.wrap(…, output=…), an index or a key")
    return tables[0] if tables else None


def _is_table(part: object) -> bool:
    return isinstance(part, Tensor) and part.ndim == 2 and part.is_floating_point()


def _tensors(parts: Mapping[Any, Any]) -> Iterator[Tensor]:
    """Yield all tensors in an output, those in nested ones too."""
    for part in parts.values():
        if isinstance(part, Tensor):
            yield part
        else:
            yield from _tensors(_parts(part))


def _picked(output: Any, pick: int | str) -> object:
    parts: dict[Any, Any] = {} if isinstance(output, Tensor) else _parts(output)
    if isinstance(pick, int):
        parts |= dict(enumerate(parts.values())) | {-n: part for n, part in enumerate(reversed(parts.values()), 1)}
    elif pick not in parts and hasattr(output, pick):
        return getattr(output, pick)
    require(pick in parts, f"output={pick!r}: there is none in what the model returns: {described(output)}")
    return parts[pick]


def _parts(output: object) -> dict[Any, Any]:
    if isinstance(output, Mapping):
        return dict(output)
    if isinstance(output, tuple | list):
        return dict(enumerate(output))
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return {f.name: getattr(output, f.name) for f in dataclasses.fields(output)}
    return {}


def _mistake(logits: Tensor, batch: int | torch.SymInt | None) -> str:
    # This is asked at every call: nothing is put into words unless something is wrong.
    if logits.ndim != 2 or not logits.is_floating_point():
        return described(logits)
    if logits.shape[1] < 2:
        return f"{described(logits)}: a model of two classes has two logits"
    if batch is not None and logits.shape[0] != batch:
        return f"{described(logits)} for {batch} images"
    return ""


def described(output: object) -> str:
    """Return what an output is, in a few words."""
    if isinstance(output, Tensor):
        return f"{tuple(output.shape)} {str(output.dtype).removeprefix('torch.')}"
    kind, parts = type(output).__name__, _parts(output)
    said = {name: described(part) if isinstance(part, Tensor) else type(part).__name__ for name, part in parts.items()}
    return f"{kind} of {', '.join(f'{name}: {each}' for name, each in said.items())}" if parts else kind

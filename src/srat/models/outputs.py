"""Where the logits are in what a model returns."""

import dataclasses
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from srat.core.errors import UserError, require

Place = tuple[Any, ...]
"""Indices or keys that lead to a part of an output; () is the output itself."""
Pick = int | str | tuple[int | str, ...] | None
"""Which part of a model's output its logits are: index or key, or several to a nested one; None to find it."""


def logits_of(
    output: object, *, batch: int | torch.SymInt | None = None, pick: Pick = None
) -> Float[Tensor, "batch classes"]:
    """Return the logits in what a model returns.

    They are the output itself, its ``.logits``, its entry "logits", or its only floating-point tensor of two axes: of
    several, the one whose name says "logits". Entries called "aux…" count only if there are no others.

    Args:
        output: a tensor, an object with ``.logits``, a mapping, a tuple, a list or a dataclass.
        batch: how many images were given, a symbol where that is traced; None if it does not matter.
        pick: index or key of the logits within the output; of nested ones a tuple of these.

    Raises:
        UserError: if there are no logits, several tensors could be the logits, or they are not those of the images.
    """
    logits = part_at(output, _place(output, pick))
    if not isinstance(logits, Tensor) or (mistake := _mistake(logits, batch)):
        wanted = "model: expected logits, floating-point (batch, classes)"
        raise UserError(f"{wanted}, got {mistake if isinstance(logits, Tensor) else described(output)}")
    return logits


def as_place(pick: object) -> Place:
    """Return where a user's ``output=`` leads.

    Raises:
        UserError: if it is neither index nor key, nor a tuple of these.
    """
    place = pick if isinstance(pick, tuple) else (pick,)
    known = all(isinstance(key, int | str) and not isinstance(key, bool) for key in place)
    require(known, f"output: expected an index, a key or a tuple of these, got {pick!r}")
    return place


def find_place(output: object, pick: Pick = None) -> Place:
    """Return where the logits are in an output, as `logits_of` finds them; () if there are none.

    A tensor is its own logits, whatever the pick: a module may return more in train mode than in eval mode.

    Raises:
        UserError: if several tensors could be the logits: of features of their width nothing but their names tells.
    """
    if isinstance(output, Tensor):
        return ()
    if pick is not None:
        return _place(output, pick)
    there = candidates(output)
    if len(there) > 1:
        raise UserError(f"model: several of its outputs could be the logits: {described(output)}; {NAME_IT}")
    return next(iter(there), ())


def candidates(output: object) -> dict[Place, Tensor]:
    """Return the tensors in an output that could be the logits, by their places, each once."""
    parts = _parts(output)
    for named in (getattr(output, "logits", None), parts.get("logits")):
        if isinstance(named, Tensor):
            return {("logits",): named}
    first = next((place for place, part in enumerate(parts.values()) if is_table(part)), len(parts))
    # What lies deeper behind the logits of a tuple is of hidden layers; elsewhere it might be the logits.
    looked_at = {
        name: part
        for place, (name, part) in enumerate(parts.items())
        if isinstance(part, Tensor) or isinstance(output, Mapping) or place < first
    }
    tables: dict[Place, Tensor] = {}
    for place, table in _tables(looked_at):
        if all(table is not other for other in tables.values()):
            tables[place] = table
    main = {place: table for place, table in tables.items() if not any(map(_is_auxiliary, place))} or tables
    named_so = {place: table for place, table in main.items() if _says_logits(place[-1])}
    return named_so if len(named_so) == 1 else main


def _place(output: object, pick: Pick) -> Place:
    # A tuple may come from `tables_of`, with keys of any type.
    return find_place(output) if pick is None else pick if isinstance(pick, tuple) else as_place(pick)


NAME_IT = "name one by its index or key, srat.models.wrap(…, output=…)"
"""What to do where several outputs could be the logits."""


def tables_of(output: object) -> dict[Place, Tensor]:
    """Return all floating-point tensors of two axes in an output, nested ones too, by their places."""
    return {(): output} if isinstance(output, Tensor) else dict(_tables(_parts(output)))


def part_at(output: object, place: Place) -> object:
    """Return a part of an output.

    Raises:
        UserError: if there is nothing at this place.
    """
    part = output
    for key in place:
        found = _members(part, key)
        if not found:
            wanted = place[0] if len(place) == 1 else place
            raise UserError(f"output={wanted!r}: there is none in what the model returns: {described(output)}")
        part = found[0]
    return part


def _members(part: object, key: int | str) -> list[object]:
    """Return what an index or a key stands for, in a list; none if there is no such thing."""
    parts = _parts(part)
    if key in parts:  # a mapping's own keys come before positions in it
        return [parts[key]]
    if isinstance(key, str):
        return [getattr(part, key)] if hasattr(part, key) and not isinstance(part, Tensor) else []
    return list(parts.values())[key:][:1] if -len(parts) <= key < len(parts) else []


def is_table(part: object) -> bool:
    """Return whether a part of an output has the form of logits."""
    return isinstance(part, Tensor) and part.ndim == 2 and part.is_floating_point()


def _is_auxiliary(key: object) -> bool:
    return isinstance(key, str) and key.lower().startswith("aux")


def _says_logits(key: object) -> bool:
    return isinstance(key, str) and "logits" in key.lower().split("_")


def _tables(parts: Mapping[Any, Any]) -> Iterator[tuple[Place, Tensor]]:
    for name, part in parts.items():
        if isinstance(part, Tensor):
            yield from [((name,), part)] * is_table(part)
        else:
            yield from (((name, *place), table) for place, table in _tables(_parts(part)))


def _parts(output: object) -> dict[Any, Any]:
    if isinstance(output, Mapping):
        return dict(output)
    if isinstance(output, tuple | list):
        return dict(zip(getattr(output, "_fields", range(len(output))), output, strict=True))
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return {f.name: getattr(output, f.name) for f in dataclasses.fields(output)}
    if isinstance(output, SimpleNamespace):
        return vars(output)
    named = None if isinstance(output, Tensor | type) else getattr(output, "logits", None)
    return {"logits": named} if isinstance(named, Tensor) else {}


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

"""Configurations as JSON and back: strict about types and keys, clear about mistakes."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cattrs

from srat.core.errors import UserError, unknown
from srat.core.members import Member, members
from srat.core.structuring import strict_converter
from srat.data.imbalance import ClassOrder

_ABSENT = object()


def identity(value: Any, *, whole: bool = False) -> Any:
    """Return what of a configuration decides its result, as plain values to hash.

    Args:
        value: the configuration, or a part of it.
        whole: with the fields that younger versions added, where they mean what saying nothing meant before.
    """
    if dataclasses.is_dataclass(value):
        fields = {
            f.name: identity(getattr(value, f.name), whole=whole)
            for f in dataclasses.fields(value)
            if f.metadata.get("identity", True)
            and (whole or f.metadata.get("neutral", _ABSENT) != getattr(value, f.name))
        }
        return {"name": value.name, **fields} if isinstance(value, Member) else fields
    return str(value) if isinstance(value, Path) else value


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Return where two identities differ, each as "path this (not that)"; of two members, their names say it all."""
    if one == other:
        return []
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [f"{path} {_said(one)} (not {_said(other)})"]
    if one.get("name") != other.get("name"):
        return [f"{path} {one.get('name')} (not {other.get('name')})"]
    keys = sorted(one.keys() | other.keys())
    return [line for key in keys for line in differences(one.get(key), other.get(key), f"{path}.{key}".lstrip("."))]


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _family_hooks(converter: cattrs.Converter, family: type[Member]) -> None:
    """Write a family's members with their names and read them by these, members that are defined later as well."""

    def structure(value: Any, _: Any) -> Any:
        known = members(family)
        if not isinstance(value, dict) or "name" not in value:
            raise UserError(f"expected an object with a name, one of: {', '.join(known)}")
        if value["name"] not in known:
            raise unknown(family.__name__.lower(), str(value["name"]), known)
        kind = known[value["name"]]
        settings = {key: setting for key, setting in value.items() if key != "name"}
        return converter.structure(neutral_values(kind) | settings, kind)

    def unstructure(value: Member) -> dict[str, Any]:
        return {**converter.unstructure(value, type(value)), "name": value.name}

    converter.register_structure_hook_func(lambda t: t is family, structure)
    converter.register_unstructure_hook_func(lambda t: t is family, unstructure)


def neutral_values(kind: type) -> dict[str, Any]:
    """Return what a configuration meant that says nothing of a dataclass's younger fields."""
    return {f.name: f.metadata["neutral"] for f in dataclasses.fields(kind) if "neutral" in f.metadata}


def make_converter(families: Iterable[type[Member]]) -> cattrs.Converter:
    """Return a converter that writes a member of a family as an object with its name, and reads it back."""
    converter = strict_converter(other_keys=False)
    converter.register_unstructure_hook(Path, str)
    order: Any = ClassOrder
    converter.register_structure_hook(
        order, lambda value, _: value if value in ("label", "random") else converter.structure(value, tuple[int, ...])
    )
    for family in families:
        _family_hooks(converter, family)
    return converter

"""Configurations as JSON and back: strict about types and keys, clear about mistakes."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cattrs
from cattrs.gen import make_dict_structure_fn
from cattrs.strategies import configure_union_passthrough

from srat.core.errors import UserError, unknown
from srat.core.members import Member, Missing, members, missing
from srat.core.structuring import strict_converter
from srat.data.class_words import ClassWord
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
        if isinstance(value, Missing):
            del fields["rest"]
            return {"name": value.name, **fields, **value.settings_kept}
        if isinstance(value, Member) and (whole or value.name != value.unnamed):
            return {"name": value.name, **fields}
        return fields
    return str(value) if isinstance(value, Path) else value


def id_of(content: Any) -> str:
    """Return twelve hexadecimal digits that name what `identity` returns."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


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
    if isinstance(value, dict):
        return str(value.get("name"))
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _family_hooks(converter: cattrs.Converter, called: str, family: type[Member], *, lenient: bool) -> None:
    """Write a family's members with their names and read them by these, members that are defined later as well."""

    def structure(value: Any, _: Any) -> Any:
        known = members(family)
        if not isinstance(value, dict) or not (family.unnamed or "name" in value):
            raise UserError(f"expected an object with a name, one of: {', '.join(known)}")
        name = value.get("name", family.unnamed)
        settings = {key: setting for key, setting in value.items() if key != "name"}
        if name not in known and lenient and isinstance(name, str):
            kind, kept = missing(family, called, name, settings)
            return converter.structure(kept, kind)
        if name not in known:
            raise unknown(family.__name__.lower(), str(name), known)
        return converter.structure(settings, known[name])

    def unstructure(value: Member) -> dict[str, Any]:
        if isinstance(value, Missing):
            plain = converter.unstructure(value, type(value))
            del plain["rest"]
            return {**plain, **value.settings_kept, "name": value.name}
        return {**converter.unstructure(value, type(value)), "name": value.name}

    converter.register_structure_hook_func(lambda t: t is family, structure)
    converter.register_unstructure_hook_func(lambda t: t is family, unstructure)


def filled(content: Any, default: Any, converter: cattrs.Converter) -> Any:
    """Return a configuration's JSON with what a person left out of its parts, as a configuration has it by default.

    A part has other defaults in a configuration (digits' ε) than by itself (CIFAR-10's). Members other than the default
    have their own; what came after version 0.1 means, where nothing is said of it, what it meant before.

    Args:
        content: JSON's values.
        default: a configuration of which nothing is said.
        converter: makes JSON of it.
    """
    if not isinstance(content, dict):
        return content
    parts = {name: getattr(default, name) for name in _old_fields(default)}
    return {
        name: _part_filled(value, parts[name], converter) if dataclasses.is_dataclass(parts.get(name)) else value
        for name, value in content.items()
    }


def _part_filled(part: Any, default: Any, converter: cattrs.Converter) -> Any:
    name = getattr(default, "name", "")
    if not isinstance(part, dict) or part.get("name", name) != name:
        return part
    plain = converter.unstructure(default, type(default))
    return {field: plain[field] for field in _old_fields(default)} | part


def _old_fields(value: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(value) if "neutral" not in f.metadata]


def _neutral_hook(kind: type, converter: cattrs.Converter) -> Any:
    """Return what reads a dataclass with younger fields: one of which nothing is said means what it meant before."""
    neutral = {f.name: f.metadata["neutral"] for f in dataclasses.fields(kind) if "neutral" in f.metadata}
    structure: Any = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)

    def read(value: Any, _: Any) -> Any:
        missing = neutral.keys() - value.keys() if isinstance(value, dict) else ()
        return replace(structure(value, kind), **{name: neutral[name] for name in missing})

    return read


def _has_younger_fields(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) and any("neutral" in f.metadata for f in dataclasses.fields(kind))


def make_converter(families: Mapping[str, type[Member]], *, lenient: bool = False) -> cattrs.Converter:
    """Return a converter that writes a member of a family as an object with its name, and reads it back.

    Args:
        families: by what they are called in a configuration.
        lenient: whether a member that is not known here is kept as it is (see `Missing`) instead of refused.
    """
    converter = strict_converter(other_keys=False)
    converter.register_unstructure_hook(Path, str)
    order: Any = ClassOrder
    converter.register_structure_hook(
        order, lambda value, _: value if value in ("label", "random") else converter.structure(value, tuple[int, ...])
    )
    converter.register_structure_hook_factory(_has_younger_fields, partial(_neutral_hook, converter=converter))
    configure_union_passthrough(ClassWord, converter)  # JSON has names and numbers, too
    for called, family in families.items():
        _family_hooks(converter, called, family, lenient=lenient)
    return converter

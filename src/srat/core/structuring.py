"""JSON's values as dataclasses: strict about types, clear about mistakes."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import cattrs

from srat.core.errors import UserError, nearest
from srat.core.files import parse_json, read_bounded

T = TypeVar("T")


def strict_converter(*, other_keys: bool) -> cattrs.Converter:
    """Return a converter that takes numbers, texts and truth values for nothing but themselves.

    Args:
        other_keys: whether objects may have keys that their dataclass does not know.
    """
    converter = cattrs.Converter(forbid_extra_keys=not other_keys)
    for kind in (int, float, str, bool):
        converter.register_structure_hook(kind, _strict(kind))
    return converter


_CALLED = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _strict(kind: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        accepted = (int, float) if kind is float else (kind,)
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise UserError(f"expected {_CALLED[kind]}, got {json.dumps(value)[:80]}")
        return kind(value)

    return structure


_CONVERTER = strict_converter(other_keys=True)


def structured(content: Any, kind: type[T], converter: cattrs.Converter = _CONVERTER) -> T:
    """Return the dataclass that JSON's values stand for.

    Args:
        content: the values.
        kind: the dataclass.
        converter: what makes one of the other; keys that the dataclass does not know are ignored by default.

    Raises:
        UserError: says the first mistake, and where it is.
    """
    if not isinstance(content, dict):
        raise UserError(f"expected a JSON object, got {type(content).__name__}")
    try:
        return converter.structure(content, kind)
    except cattrs.BaseValidationError as error:
        mistakes = cattrs.transform_error(error, path="", format_exception=_mistake)
        raise UserError(_with_its_place(mistakes[0])) from error
    except RecursionError as error:
        raise UserError("too deep") from error


def read_structured(path: Path, kind: type[T], *, limit: int, what: str, advice: str = "") -> T:
    """Return the dataclass that a file of JSON holds.

    Args:
        path: the file.
        kind: the dataclass.
        limit: bytes that are read at the most.
        what: what the file should be: "evaluation".
        advice: what the user can do about one that is not: "remove it".

    Raises:
        UserError: names the file, and the first mistake.
    """
    try:
        return structured(parse_json(read_bounded(path, limit), where=what), kind)
    except UserError as error:
        raise UserError(f"{path}: not a readable {what} ({error}){advice and f'; {advice}'}") from error


def _mistake(error: BaseException, kind: Any) -> str:
    """Return in a line what is wrong with a value that was to be of ``kind``."""
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        known = [field.name for field in dataclasses.fields(error.cl)]
        given = sorted(error.extra_fields)[0]
        return f"unknown key '{given}'{nearest(given, known)}; there are: {', '.join(known)}"
    if isinstance(error, KeyError):
        return "missing"
    kind = (
        get_args(kind)[0] if get_origin(kind) in (Annotated, Union) else kind
    )  # of an optional, what it is if not None
    if get_origin(kind) is Literal:
        return f"expected one of {', '.join(map(str, get_args(kind)))}, got {str(error).split(' not in ')[0]}"
    return str(error)


def _with_its_place(mistake: str) -> str:
    """Return a mistake with its place in the file before it: "… @ .attack" as "attack: …".

    One that names a setting has its path there, "`steps`: … @ .attack" as "attack.steps: …", and no backticks: it is
    not for a flag to mend.
    """
    text, _, place = mistake.rpartition(" @ ")
    place = place.lstrip(".")
    if not text.startswith("`"):
        return f"{place}: {text}" if place else text
    prefix = f"{place}." if place else ""
    return re.sub(r"`([\w.]+)`", r"\1", re.sub(r"^`(\w+)`", rf"`{prefix}\1`", text))

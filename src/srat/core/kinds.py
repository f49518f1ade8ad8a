"""Types and values in words, for messages that say what was expected and what came."""

import inspect
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from srat.core.values import is_masked, is_tensor, scalar


def described(kind: Any) -> str:
    """Return an annotated type in words.

    Args:
        kind: the annotation.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return described(parts[0])
    if origin is Literal:
        return " or ".join(map(str, parts)) if len(parts) < 3 else f"one of {', '.join(map(str, parts))}"
    if origin in (Union, UnionType):
        # A path is given as text, too: to say so would be to say it twice.
        return " or ".join(dict.fromkeys(described(part) for part in parts if part is not str or Path not in parts))
    if origin in (tuple, Sequence):
        return _PLURALS.get(parts[0], f"a list, each {described(parts[0])}" if parts[0] is not Any else "a list")
    if origin is Iterable:
        return f"several, each {described(parts[0])}"
    if (origin or kind) in _WORDS:
        return _WORDS[origin or kind]
    if hasattr(kind, "dim_str"):
        axes = kind.dim_str.split()
        what = "a tensor" if is_tensor(kind.array_type) else "an array"
        return f"{what} of {_dtypes(kind)}, ({', '.join(axes)}{',' * (len(axes) == 1)})"
    if isinstance(kind, type) and is_tensor(kind):
        return "a tensor"
    name = getattr(origin or kind, "__name__", str(kind))
    if name == "ndarray":
        return "an array"
    there = _members(kind) if isinstance(kind, type) else []
    return _one(name) + (f" ({', '.join(there)})" if there else "")


def in_full(kind: Any) -> str:
    """Return a class's name after the public part of its module's: "numpy.random.Generator"."""
    public = [part for part in kind.__module__.split(".") if not part.startswith("_")]
    return ".".join((*public, kind.__name__))


def _one(name: str) -> str:
    """Return a class's name with its article."""
    # A letter is spoken by its name: an FGSM, an LDAM.
    vowels = "AEFHILMNORSX" if name[:2].isupper() else "AEIOUaeiou"
    return f"a{'n' * (name[0] in vowels)} {name}"


def said(value: Any) -> str:
    """Return a value that was not expected, short.

    Args:
        value: anything.
    """
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    if hasattr(value, "dtype") and (getattr(value, "ndim", None) or getattr(value, "is_meta", False)):
        kind = str(value.dtype).removeprefix("torch.")
        return f"{_container(value)} of {kind}, {tuple(value.shape)}"
    if isinstance(value, int) and value.bit_length() > 1_000:
        return f"a number of {value.bit_length():,} bits"
    if inspect.isroutine(value):
        return "a function"
    plain = isinstance(value, str | bytes | int | float | complex | list | tuple | dict | set | Path | NoneType)
    return reprlib.repr(scalar(value)) if plain or hasattr(value, "dtype") else _one(type(value).__name__)


def _container(value: Any) -> str:
    if not is_tensor(type(value)):
        return "a masked array" if is_masked(value) else "an array"
    dense = str(value.layout) == "torch.strided"
    return "a tensor without contents" if value.is_meta else "a tensor" if dense else "a sparse tensor"


def _dtypes(kind: Any) -> str:
    floats, integers = (any(dtype.startswith(prefix) for dtype in kind.dtypes) for prefix in ("float", "int"))
    return "numbers" if floats and integers else "floats" if floats else "integers" if integers else "booleans"


def _members(family: type) -> list[str]:
    """Return the names of the classes below a family's; none below one that can be made itself."""
    return [] if getattr(family, "name", family.__name__) else sorted(set(_named_below(family)))


def _named_below(kind: type) -> list[str]:
    children: list[type] = kind.__subclasses__()
    own = [child.__name__ for child in children if getattr(child, "name", "")]
    return own + [name for child in children for name in _named_below(child)]


_WORDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    Path: "a path",
    Callable: "a function",
    NoneType: "None",
}
_PLURALS: Mapping[Any, str] = {int: "a list of whole numbers", float: "a list of numbers", str: "a list of text"}

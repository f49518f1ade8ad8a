"""What is unmistakable is understood: NumPy's numbers, 10.0 for 10, "8/255", a list for a tuple, "L_inf" for "linf"."""

import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache, partial
from numbers import Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

Fitter = Callable[[Any], Any]
"""A value → the same as the annotated type; raises `UnfitError` where it cannot be meant."""
FRACTION = r"(\d+(?:\.\d+)?)/([1-9]\d*)"
"""A budget as it is written everywhere, 8/255."""


_EXACT = 2.0**53
"""Above it, floats are no longer one apart, and no number of things."""


class UnfitError(Exception):
    """A value cannot be meant as the annotated type."""


class Spellings:
    """Metadata of a Literal: other ways to write its names.

    Args:
        names: how else it is written, in lower case without separators → the name.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names


def fitter(kind: Any) -> Fitter:
    """Return what makes a value one of an annotated type; what it has no rule for, it lets through.

    Args:
        kind: the annotation.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        known = [each.names for each in kind.__metadata__ if isinstance(each, Spellings)]
        return partial(_literal, get_args(parts[0]), known[0]) if known else fitter(parts[0])
    if origin is Literal:
        return partial(_literal, parts, {})
    if origin in (Union, UnionType):
        # A path that is given as text is a path.
        return partial(_first, [fitter(part) for part in parts if part is not str or Path not in parts])
    if origin is tuple and parts[-1] is not Ellipsis:
        return partial(_tuple_of, [fitter(part) for part in parts])
    if origin in (tuple, Sequence):
        return partial(_tuple, fitter(parts[0]))
    if origin is Iterable:
        return partial(_iterable, fitter(parts[0]))
    if kind in _PLAIN:
        return _PLAIN[kind]
    if hasattr(kind, "dim_str"):
        return partial(_shaped, kind)
    wanted = origin or kind
    if not isinstance(wanted, type) or wanted is Any:
        return lambda value: value
    return as_tensor if is_tensor(wanted) else partial(_instance, wanted)


def as_tensor(value: Any) -> Any:
    """Return an array, or lists of numbers, as a tensor; tensors as they are."""
    if is_tensor(type(value)):
        if str(value.layout) != "torch.strided":  # of sparse ones most operations are not there
            raise UnfitError
        return value
    several = isinstance(value, list | tuple)
    if not several and not hasattr(value, "__array__"):
        raise UnfitError
    if any(map(is_masked, value if several else (value,))):  # the values behind the mask are not meant
        raise UnfitError
    import numpy as np  # srat --help shall not wait for these
    import torch

    try:
        if isinstance(value, list | tuple) and value and all(is_tensor(type(each)) for each in value):
            return torch.stack(tuple(value))
        array = np.asarray(value)
        return torch.from_numpy(np.require(array.astype(array.dtype.newbyteorder("="), copy=False), None, ["C", "W"]))
    except (TypeError, ValueError, RuntimeError):
        raise UnfitError from None


def is_masked(value: Any) -> bool:
    """Return whether a value is an array of NumPy's that hides some of its values."""
    return hasattr(value, "__array__") and type(value).__module__.startswith("numpy.ma") and bool(value.mask.any())


def scalar(value: Any) -> Any:
    """Return a number of NumPy's or torch's as one of Python's."""
    there = hasattr(value, "item") and not getattr(value, "is_meta", False)
    return value.item() if there and getattr(value, "ndim", None) == 0 else value


def _number(value: Any) -> Any:
    value = scalar(value)
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise UnfitError
    return value


def _float(value: Any) -> float:
    try:
        if isinstance(value, str):
            fraction = re.fullmatch(FRACTION, value.strip())
            return float(fraction[1]) / float(fraction[2]) if fraction else float(value)
        return float(_number(value))
    except (ValueError, OverflowError):
        raise UnfitError from None


def _int(value: Any) -> int:
    number = _number(value)
    try:
        whole = int(number)
        if whole != number or math.isinf(float(whole)) or (isinstance(number, float) and abs(number) > _EXACT):
            raise UnfitError
    except (ValueError, OverflowError):  # NaN, infinity, and more digits than any number here has
        raise UnfitError from None
    return whole


def _bool(value: Any) -> bool:
    value = scalar(value)
    if not isinstance(value, bool):
        raise UnfitError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UnfitError
    return value if type(value) is str else str.__str__(value)


def _path(value: Any) -> Path:
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or text == "" or "\0" in text:
        raise UnfitError
    path = value if isinstance(value, Path) else Path(text)
    try:
        return path.expanduser() if text.startswith("~") else path
    except RuntimeError:  # the home of nobody
        raise UnfitError from None


def _none(value: Any) -> None:
    if value is not None:
        raise UnfitError


def _literal(names: Sequence[Any], spellings: Mapping[str, str], value: Any) -> Any:
    if isinstance(value, str) and value in names:
        return _text(value)
    value = scalar(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    numbers = [name for name in names if number and type(name) is int and name == value]
    by_key = {_key(name): name for name in names if isinstance(name, str)} | dict(spellings)
    key = _key(value) if isinstance(value, str) else f"{_float(value):g}" if number and spellings else ""
    if not numbers and key not in by_key:
        raise UnfitError
    return numbers[0] if numbers else by_key[key]


def _key(text: str) -> str:
    return re.sub(r"[-_/\s]", "", text).lower()


def _first(fitters: Sequence[Fitter], value: Any) -> Any:
    for fit in fitters:
        try:
            return fit(value)
        except UnfitError:
            continue
    raise UnfitError


def _items(value: Any) -> Sequence[Any]:
    if getattr(value, "ndim", None) == 1 and hasattr(value, "tolist"):
        if getattr(value, "is_meta", False):
            raise UnfitError
        return cast(Sequence[Any], value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return value
    raise UnfitError


def _tuple(fit: Fitter, value: Any) -> tuple[Any, ...]:
    made = tuple(fit(each) for each in _items(value))
    same = isinstance(value, tuple) and all(a is b for a, b in zip(made, value, strict=True))
    return cast(tuple[Any, ...], value) if same else made


def _tuple_of(fitters: Sequence[Fitter], value: Any) -> tuple[Any, ...]:
    items = _items(value)
    if len(items) != len(fitters):
        raise UnfitError
    return tuple(fit(each) for fit, each in zip(fitters, items, strict=True))


def _iterable(fit: Fitter, value: Any) -> Any:
    """Return what can be gone through; what is made on the way is looked at by who goes."""
    try:
        there = iter(value)
    except TypeError:
        raise UnfitError from None
    if isinstance(value, str | bytes):
        raise UnfitError
    return tuple(map(fit, there)) if isinstance(value, Collection) else value


def _instance(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise UnfitError
    return value


def _shaped(kind: Any, value: Any) -> Any:
    """Return a tensor or an array of a jaxtyping annotation's type and number of axes.

    The axes' lengths are others' to compare.
    """
    tensor = as_tensor(value)
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype.startswith("uint") and "int64" in kind.dtypes and dtype not in kind.dtypes:
        return _shaped(kind, tensor.long())
    axes = kind.dim_str.split()
    if dtype not in kind.dtypes or (tensor.ndim != len(axes) and not any(axis[0] in "*." for axis in axes)):
        raise UnfitError
    return tensor if is_tensor(kind.array_type) else _as_array(value, tensor)


def _as_array(value: Any, tensor: Any) -> Any:
    """Return a tensor as NumPy's, or what it was made of, if that is an array."""
    if hasattr(value, "__array_interface__") and str(value.dtype) == str(tensor.dtype).removeprefix("torch."):
        return value
    try:
        return tensor.detach().cpu().numpy()
    except TypeError:  # NumPy has no bfloat16
        raise UnfitError from None


def _is_tensor(kind: Any) -> bool:
    return any((each.__module__, each.__name__) == ("torch", "Tensor") for each in kind.__mro__)


is_tensor: Callable[[Any], bool] = cache(_is_tensor)
"""A class → whether it is torch's tensor or one of its kind; torch itself is not asked, nor loaded."""
_PLAIN: Mapping[Any, Fitter] = {
    int: _int,
    float: _float,
    bool: _bool,
    str: _text,
    Path: _path,
    NoneType: _none,
}

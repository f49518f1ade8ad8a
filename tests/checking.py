"""Shapes and types are checked while the tests run; what names no shape is left to beartype alone.

jaxtyping's own decorator binds the arguments for its messages and asks beartype twice, which takes many times as long
as to ask it once, within a scope of axes. A function within a function would be compiled each time that the outer one
runs: what it is given, the functions around it check. And jaxtyping looks at a tensor's dtype by its name, and copies
all that it knows of axes, each time: of a kind of tensor that has passed once, the lengths alone are looked at.
"""

import functools
from dataclasses import is_dataclass
from types import FunctionType
from typing import Any, get_args, get_type_hints

import jaxtyping
from jaxtyping import _array_types
from jaxtyping._storage import get_shape_memo

_whole = jaxtyping.jaxtyped
_scope = jaxtyping.jaxtyped("context")
_kind = type(jaxtyping.Float[Any, ""])
_fits = _kind.__instancecheck__
_passed: dict[Any, list[Any]] = {}


def plain_axis(axis):
    """Return whether an axis has a name or a length and nothing else, or may be any."""
    if axis is _array_types._anonymous_dim:
        return True
    named = isinstance(axis, _array_types._NamedDim) and not axis.treepath
    return (named or isinstance(axis, _array_types._FixedDim)) and not axis.broadcastable


def plain_axes(kind):
    """Return the name, the length or None, for any, of each axis of an annotation; None if it has others."""
    if all(map(plain_axis, kind.dims)):
        return [getattr(axis, "name", getattr(axis, "size", None)) for axis in kind.dims]
    return None


def fits(kind, value):
    """Return what jaxtyping says of a value."""
    seen = kind, type(value), getattr(value, "dtype", None)
    if (axes := _passed.get(seen)) is None:
        if (good := _fits(kind, value)) and (axes := plain_axes(kind)) is not None:
            _passed[seen] = axes
        return good
    if len(axes) != len(value.shape):
        return False
    known, new = get_shape_memo()[0], {}
    for axis, length in zip(axes, value.shape, strict=True):
        wanted = axis
        if isinstance(axis, str):
            wanted = known[axis] if axis in known else new.setdefault(axis, length)
        if wanted is not None and wanted != length:
            return False
    known.update(new)
    return True


def names_axes(kind):
    """Return whether an annotation holds a shape."""
    if isinstance(kind, list):  # the arguments of a Callable
        return any(map(names_axes, kind))
    return hasattr(kind, "dim_str") or any(map(names_axes, get_args(kind)))


def resolved(kind, names):
    """Return an annotation with what text in it stands for; as jaxtyping has it, anything if that is not yet there."""

    def function(value):
        del value

    function.__annotations__ = {"value": kind}
    try:
        return get_type_hints(function, names, include_extras=True)["value"]
    except Exception:
        return Any


def checked_function(function, typechecker):
    """Return a function that checks what it is given and gives back; axes of one name have one length in a call."""
    written = function.__annotations__
    function.__annotations__ = {name: resolved(kind, function.__globals__) for name, kind in written.items()}
    checked, with_axes = typechecker(function), any(map(names_axes, function.__annotations__.values()))
    function.__annotations__ = checked.__annotations__ = written  # others read them, too
    if checked is function or not with_axes:
        return checked

    @functools.wraps(function)
    def within(*args, **kwargs):
        with _scope:
            return checked(*args, **kwargs)

    return within


def jaxtyped(*, typechecker):
    """The decorator that the hook puts upon each function and class."""

    def decorated(thing):
        if isinstance(thing, FunctionType):
            return thing if "<locals>" in thing.__qualname__ else checked_function(thing, typechecker)
        if isinstance(thing, type):
            made = vars(thing).get("__init__")
            if is_dataclass(thing) and isinstance(made, FunctionType) and not hasattr(made, "__wrapped__"):
                thing.__init__ = checked_function(made, typechecker)
            return thing
        return _whole(thing, typechecker=typechecker)

    return decorated


def check_types():
    """Check what is imported of srat from now on."""
    jaxtyping.jaxtyped = jaxtyped
    _kind.__instancecheck__ = fits
    settings = "is_pep484_tower=True, violation_type=TypeError"  # which is what jaxtyping raises
    jaxtyping.install_import_hook("srat", f"beartype.beartype(conf=beartype.BeartypeConf({settings}))")

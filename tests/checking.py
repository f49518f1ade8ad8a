"""Shapes and types are checked while the tests run; what names no shape is left to beartype alone.

jaxtyping's own decorator binds the arguments for its messages and asks beartype twice, which takes many times as long
as to ask it once, within a scope of axes. A function within a function would be compiled each time that the outer one
runs: what it is given, the functions around it check.
"""

import functools
from dataclasses import is_dataclass
from types import FunctionType
from typing import Any, get_args, get_type_hints

import jaxtyping

_whole = jaxtyping.jaxtyped
_scope = jaxtyping.jaxtyped("context")


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
    settings = "is_pep484_tower=True, violation_type=TypeError"  # which is what jaxtyping raises
    jaxtyping.install_import_hook("srat", f"beartype.beartype(conf=beartype.BeartypeConf({settings}))")

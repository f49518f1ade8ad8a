"""Shapes and types are checked while the tests run; what names no shape is left to beartype alone.

jaxtyping opens a scope of axes for each call and asks beartype twice, which takes many times as long as beartype alone,
and axes are named by few. A function within a function would be compiled each time that the outer one runs: what it is
given, the functions around it check.
"""

from types import FunctionType
from typing import get_args

import jaxtyping

_whole = jaxtyping.jaxtyped


def names_axes(kind):
    """Return whether an annotation holds a shape, or text that may stand for one."""
    if isinstance(kind, list):  # the arguments of a Callable
        return any(map(names_axes, kind))
    return isinstance(kind, str) or hasattr(kind, "dim_str") or any(map(names_axes, get_args(kind)))


def jaxtyped(*, typechecker):
    """The decorator that the hook puts upon each function and class."""

    def decorated(thing):
        if isinstance(thing, FunctionType) and "<locals>" in thing.__qualname__:
            return thing
        if isinstance(thing, FunctionType) and not any(map(names_axes, thing.__annotations__.values())):
            return typechecker(thing)
        return _whole(thing, typechecker=typechecker)

    return decorated


def check_types():
    """Check what is imported of srat from now on."""
    jaxtyping.jaxtyped = jaxtyped
    settings = "is_pep484_tower=True, violation_type=TypeError"  # which is what jaxtyping raises
    jaxtyping.install_import_hook("srat", f"beartype.beartype(conf=beartype.BeartypeConf({settings}))")

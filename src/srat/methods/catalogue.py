"""Every method by its name: the paper's table, a file each of the others, and those of installed packages."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from srat.core.members import plain
from srat.core.plugins import plugins
from srat.core.warn import warn
from srat.methods.base import Method
from srat.methods.table import METHODS

PLUGINS = "srat.methods"
"""The entry points of installed packages that have methods: each names a module with a ``METHOD``."""


def methods() -> Mapping[str, Method]:
    """Return every method by its name: the paper's in the order of its tables, then the others by name.

    A plugin's, a ``METHOD`` in the file, has the file's name.
    """
    loaded = {plain(each.path.stem): getattr(each.module, "METHOD", None) for each in plugins()}
    of_plugins = {name: method for name, method in loaded.items() if isinstance(method, Method)}
    return {**of_plugins, **_known()} if of_plugins else _known()


@cache
def _known() -> Mapping[str, Method]:
    folder = Path(__file__).parent / "field"
    names = sorted(module.name for module in pkgutil.iter_modules([str(folder)]))
    of_field = {plain(name): importlib.import_module(f"srat.methods.field.{name}").METHOD for name in names}
    return {**dict(_installed()), **METHODS, **of_field}


def _installed() -> Iterator[tuple[str, Method]]:
    """Yield the methods of installed packages; one that fails is said, and stops nothing."""
    for point in entry_points(group=PLUGINS):
        try:
            method = point.load().METHOD
            if not isinstance(method, Method):
                raise TypeError(f"expected a METHOD in it, got {type(method).__name__}")
            yield plain(point.name), method
        except Exception as error:  # a stranger's module may do anything
            warn(f"the method {point.name} of {point.value} cannot be imported ({type(error).__name__}: {error})")

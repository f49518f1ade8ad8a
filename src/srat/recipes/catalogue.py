"""The folder is the catalogue: a recipe is a module of it, with a ``RECIPE``; so is one that a package installs."""

import importlib
import pkgutil
import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from srat.core.errors import UserError, unknown
from srat.recipes.base import Recipe

PLUGINS = "srat.recipes"
"""The entry points of installed packages that have recipes: each names a module with a ``RECIPE``."""

_PARTS = ("__init__", "base", "catalogue", "making", "scales", "values")
"""Modules of this package that are not recipes."""


def names() -> list[str]:
    """Return the recipes' names: tables, figures, each in the order of their numbers, and then our own studies."""
    found = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if module.name not in _PARTS]
    return sorted({*found, *_installed()}, key=_place)


def summary() -> str:
    """Return the recipes' names in a line, numbered ones as "table1 to table4"."""
    kinds: dict[str, list[str]] = {}
    for name in names():
        kinds.setdefault(re.sub(r"\d", "", name), []).append(name)
    return ", ".join(each[0] if len(each) == 1 else f"{each[0]} to {each[-1]}" for each in kinds.values())


@cache  # to look for them reads the metadata of every package there is
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=PLUGINS)}


def _place(name: str) -> tuple[int, int, str]:
    kind, number = re.sub(r"\d", "", name), re.sub(r"\D", "", name)
    return {"table": 0, "figure": 1}.get(kind, 2), int(number or 0), name


def recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        UserError: if no recipe has that name, or an installed one cannot be imported.
    """
    if name not in names():
        raise unknown("recipe", name, names())
    installed = _installed()
    if name not in installed:
        found: Recipe = importlib.import_module(f"srat.recipes.{name}").RECIPE
        return found
    try:
        return _recipe_in(installed[name].load())
    except Exception as error:  # a stranger's module may do anything
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"the recipe {name} of {installed[name].value} cannot be imported ({why})") from error


def _recipe_in(module: object) -> Recipe:
    found = getattr(module, "RECIPE", None)
    if not isinstance(found, Recipe):
        raise TypeError(f"expected a RECIPE in it, got {type(found).__name__}")
    return found

"""The folder is the catalogue: a recipe is a module of it, with a ``RECIPE``; a few are none."""

import importlib
import pkgutil
import re
from pathlib import Path

from srat.core.errors import unknown
from srat.recipes.base import Recipe

_PARTS = ("__init__", "base", "catalogue", "making", "scales", "values")
"""Modules of this package that are not recipes."""


def names() -> list[str]:
    """Return the recipes' names: tables, figures, each in the order of their numbers, and then our own studies."""
    found = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if module.name not in _PARTS]
    return sorted(found, key=_place)


def _place(name: str) -> tuple[int, int, str]:
    kind, number = re.sub(r"\d", "", name), re.sub(r"\D", "", name)
    return {"table": 0, "figure": 1}.get(kind, 2), int(number or 0), name


def recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        UserError: if no recipe has that name.
    """
    if name not in names():
        raise unknown("recipe", name, names())
    found: Recipe = importlib.import_module(f"srat.recipes.{name}").RECIPE
    return found

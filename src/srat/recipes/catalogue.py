"""The folder is the catalogue: a recipe is a module of this package that has a ``RECIPE``."""

import importlib
import pkgutil
import re

from srat.errors import unknown
from srat.recipes.base import Recipe

_NAME = re.compile(r"(table|figure)\d+")


def names() -> list[str]:
    """Return the recipes' names: tables first, each in the order of their numbers."""
    import srat.recipes

    found = [module.name for module in pkgutil.iter_modules(srat.recipes.__path__) if _NAME.fullmatch(module.name)]
    return sorted(found, key=lambda name: (name.startswith("figure"), int(re.sub(r"\D", "", name))))


def recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        UserError: if there is none.
    """
    if name not in names():
        raise unknown("recipe", name, names())
    found: Recipe = importlib.import_module(f"srat.recipes.{name}").RECIPE
    return found

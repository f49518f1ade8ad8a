"""The paper's tables and figures, one file each: the runs that they take, and what the paper says of them."""

from srat.recipes.base import Cell, Claim, Kind, Metric, PaperValue, Recipe, Scope, Term
from srat.recipes.catalogue import names, recipe
from srat.recipes.scales import LARGEST_RATIO, Scale, base_config, default_data

__all__ = [
    "LARGEST_RATIO",
    "Cell",
    "Claim",
    "Kind",
    "Metric",
    "PaperValue",
    "Recipe",
    "Scale",
    "Scope",
    "Term",
    "base_config",
    "default_data",
    "names",
    "recipe",
]

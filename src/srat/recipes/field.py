"""The field's methods beside the paper's eleven, on Exp imbalance.

    srat grid field                    84 runs of ResNet-18 (3 seeds), 200 epochs each
    srat grid field --scale small      84 runs of five minutes or less on two cores, on Fashion-MNIST
    srat report field [--scale small]

Expected: nobody has compared all of them under one protocol; docs/reproduction.md has what came out at the small scale.
Methods that learn from a held-out part have a tenth of the training images less than the others.
"""

from dataclasses import replace

from srat.config.config import Config
from srat.data import Holdout
from srat.methods import methods
from srat.recipes.base import Cell, Recipe
from srat.recipes.making import each_once, imbalanced, of_method

COLUMN = "exp-100"


def of_field(base: Config, column: str) -> dict[str, Config]:
    """Return every method that attacks its images, on one imbalance; each run once."""
    base = imbalanced(base, column)
    attacked = [name for name, method in methods().items() if method.attacked]
    return each_once({name: of_method(_held_out(base, name), name) for name in attacked})


def _cells(base: Config) -> list[Cell]:
    return [Cell(row=row, column=COLUMN, config=config) for row, config in of_field(base, COLUMN).items()]


def _held_out(base: Config, name: str) -> Config:
    """Return what a method's run starts from: with a held-out part where it learns from one."""
    learning = any(getattr(member, "sees_held_out", False) for member in methods()[name].members.values())
    return replace(base, holdout=Holdout()) if learning else base


RECIPE = Recipe(
    title="Methods of the field, Exp imbalance",
    kind="methods",
    data="cifar10",
    cells=_cells,
)

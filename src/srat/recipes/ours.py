"""Our own method beside what it has to beat, and with more for the rare classes.

    srat grid ours                     48 runs of ResNet-18 (3 seeds), 200 epochs each, ours 30
    srat grid ours --scale medium      42 runs (3 seeds) of a quarter of an hour and more on two cores, on CIFAR-10
    srat grid ours --scale small       48 runs (3 seeds) of five minutes or less on two cores, on Fashion-MNIST
    srat report ours [--scale medium]

Expected: as good as the balanced softmax under PGD-10, at a fifth of the passes; docs/ours.md has what came out. At the
medium scale all train under N-FGSM, so that ours is the balanced softmax there.
"""

from collections.abc import Sequence
from dataclasses import replace

from srat.attacks.budgets import ClassWise
from srat.config.composition import compose
from srat.config.config import Config
from srat.losses import BalancedSoftmax
from srat.recipes.base import Cell, Claim, Recipe, Scope
from srat.recipes.ladder import GROWTH
from srat.recipes.making import each_once, imbalanced, larger, of_method

NAME = "fast-bsl"
COLUMNS = ("exp-100", "step-100")
RIVALS = ("ce", "bsl", "drcb-ldam", "srat-ce", "srat-ldam")
BY_CLASS = "bsl, balls by class"
"""In RobustLT's place, whose balls are refused on Step-100."""
MORE_TAU = f"{NAME}, τ = 1.5"
"""What more for the rare classes costs the common ones."""
EPOCHS = 30
"""Of ours at the most, in one cycle of the rate, as de Jorge et al. train."""


def cells(base: Config) -> list[Cell]:
    """Return ours, its rivals, and ours with more for the rare classes, on both imbalances; each run once."""
    return [
        Cell(row=row, column=column, config=config)
        for column in COLUMNS
        for row, config in each_once(_rows(imbalanced(base, column))).items()
    ]


def _rows(base: Config) -> dict[str, Config]:
    ours = of_method(base, NAME)
    if ours.epochs > EPOCHS:
        ours = compose(ours, epochs=EPOCHS, schedule="one-cycle")
    rivals = {name: of_method(base, name) for name in RIVALS}
    by_class = replace(rivals["bsl"], budget=ClassWise(ramp=GROWTH))
    return {NAME: ours, **rivals, BY_CLASS: by_class, MORE_TAU: replace(ours, loss=BalancedSoftmax(tau=1.5))}


def claims(given: Sequence[Cell]) -> list[Claim]:
    """Return that ours is above each other run in the worst case, on the rare classes and over all."""
    scopes: dict[Scope, str] = {"under": "on rare classes under attack", "overall": "under attack"}
    return [
        larger(f"{column}: above {row} {where}", (NAME, column), (row, column), metric="worst", scope=scope)
        for row, column in ((cell.row, cell.column) for cell in given if cell.row != NAME)
        for scope, where in scopes.items()
    ]


RECIPE = Recipe(
    title="Our own method and its rivals",
    kind="methods",
    data="cifar10",
    cells=cells,
    claims=claims,
    attacks=("pgd-margin-20",),
    asks="Whether it is better",
)

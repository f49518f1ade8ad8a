"""From cross-entropy to our own method, one ingredient at a time.

    srat grid ladder --scale medium    72 runs (3 seeds) of a quarter of an hour and more on two cores, on CIFAR-10
    srat grid ladder --scale small     72 runs (3 seeds) of one to three minutes on two cores, on Fashion-MNIST
    srat report ladder --scale medium

Expected: each step is said to help somewhere in the field, balanced softmax and class-wise budgets most of all; we know
of no one who put them together under one protocol. LDAM with RandAugment and averaged weights shows whether a gain is
theirs.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from srat.attacks.budgets import ClassWise, UniformBudget
from srat.config.composition import compose
from srat.config.config import Config
from srat.optimization.averaging import EMA
from srat.optimization.weight_perturbations import AWP
from srat.recipes.base import Cell, Claim, Recipe
from srat.recipes.making import imbalanced, larger, of_method

COLUMNS = ("exp-100", "step-100")
GROWTH = 0.8
"""The part of the run over which balls grow, as RobustLT has it."""
STEPS: dict[str, dict[str, Any]] = {
    "balanced softmax": {},
    "+ RandAugment": {"augmentation": "rand-augment"},
    "+ EMA": {"averaging": EMA()},
    "+ growing balls": {"budget": UniformBudget(ramp=GROWTH)},
    "+ balls by class": {"budget": ClassWise(ramp=GROWTH)},
    "+ late AWP": {"weight_perturbation": AWP(start=0.75)},
}
"""What each row changes of the one before."""
WITHOUT = "− RandAugment"
"""The last row, without that."""
BESIDE = ("drcb-ldam", "srat-ldam")
"""With RandAugment and averaged weights, so that a gain is not just theirs."""


def cells(base: Config) -> list[Cell]:
    """Return cross-entropy, each step from balanced softmax on, and LDAM beside them."""
    return [
        Cell(row=row, column=column, config=config)
        for column in COLUMNS
        for row, config in _rows(imbalanced(base, column)).items()
    ]


def _rows(base: Config) -> dict[str, Config]:
    rows, config = {"ce": of_method(base, "ce")}, of_method(base, "bsl")
    for row, changes in STEPS.items():
        config = rows[row] = compose(config, **changes)
    rows[WITHOUT] = replace(config, augmentation=base.augmentation)
    for method in BESIDE:
        rows[method] = of_method(base, method)
        rows[f"{method}, RandAugment, EMA"] = compose(rows[method], **STEPS["+ RandAugment"], **STEPS["+ EMA"])
    return rows


def claims(given: Sequence[Cell]) -> list[Claim]:
    """Return that each step helps the rare classes under attack, and RandAugment in the end."""
    steps = ["ce", *STEPS]
    pairs = [*zip(steps[1:], steps, strict=False), (steps[-1], WITHOUT)]
    where = "on rare classes under attack"
    return [
        larger(f"{column}: {better} above {worse} {where}", (better, column), (worse, column), metric="worst")
        for column in dict.fromkeys(cell.column for cell in given)
        for better, worse in pairs
    ]


RECIPE = Recipe(
    title="The ladder: one ingredient at a time",
    kind="methods",
    data="cifar10",
    cells=cells,
    claims=claims,
    attacks=("pgd-margin-20",),
    asks="What each step is expected to do, and whether it shows",
)

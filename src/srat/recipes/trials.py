"""What else might help rare classes under attack: one thing more for balanced softmax, and for LDAM with late weights.

    srat grid trials --scale medium    96 runs (3 seeds) of a quarter of an hour and more on two cores, on CIFAR-10
    srat grid trials --scale small     96 runs (3 seeds) of one to three minutes on two cores, on Fashion-MNIST
    srat report trials --scale medium

Expected: theory speaks for each; the separation loss has its best chance here, with a queue, attacked as well, and
with a weight and a temperature that did no harm at the small scale.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from srat.attacks.budgets import FRL, ClassWise
from srat.config.config import Config, InnerMaximization
from srat.data import Holdout
from srat.data.mixing import CMO, CutMix
from srat.feature_losses import QueuedSeparation
from srat.methods.objective import Objective
from srat.models.heads import CosineHead
from srat.optimization.averaging import EMA
from srat.optimization.weight_perturbations import AWP
from srat.recipes.base import Cell, Claim, Recipe
from srat.recipes.ladder import GROWTH
from srat.recipes.making import imbalanced, larger, of_method
from srat.robust_losses import Distillation
from srat.weightings.held_out_weighting import HeldOutWeighting

COLUMNS = ("exp-100", "step-100")
HELD_OUT = "a tenth held out"
"""The control of what learns from a held-out part."""
TRIALS: dict[str, dict[str, dict[str, Any]]] = {
    "bsl": {
        "cosine head": {"head": CosineHead()},
        "EMA": {"averaging": EMA()},
        "AWP": {"weight_perturbation": AWP()},
        "balls by class": {"budget": ClassWise(ramp=GROWTH)},
        HELD_OUT: {"holdout": Holdout()},
        "balls by held-out errors": {"budget": FRL(start=0.0), "holdout": Holdout()},
        "weights by held-out accuracy": {"weighting": HeldOutWeighting(), "holdout": Holdout()},
        "taught by its average": {"robust_loss": Distillation(), "averaging": EMA()},
        "CutMix": {"mixing": CutMix(probability=0.5)},
        "CMO": {"mixing": CMO()},
    },
    "drcb-ldam": {
        "EMA": {"averaging": EMA()},
        "AWP": {"weight_perturbation": AWP()},
        "balls by class": {"budget": ClassWise(ramp=GROWTH)},
        "separation from a queue": {
            "feature_loss": QueuedSeparation(temperature=0.3),
            "objective": Objective(feature_weight=0.3),
            "inner": InnerMaximization(feature_weight=1.0),
        },
    },
}
"""What each row changes of a method."""


def cells(base: Config) -> list[Cell]:
    """Return the methods as they are, and with each change."""
    return [
        Cell(row=row, column=column, config=config)
        for column in COLUMNS
        for method, trials in TRIALS.items()
        for row, config in _rows(of_method(imbalanced(base, column), method), method, trials).items()
    ]


def _rows(control: Config, method: str, trials: dict[str, dict[str, Any]]) -> dict[str, Config]:
    return {method: control} | {f"{method}, {trial}": replace(control, **changes) for trial, changes in trials.items()}


def claims(given: Sequence[Cell]) -> list[Claim]:
    """Return that each change helps the rare classes under attack."""
    return [
        larger(
            f"{column}: {trial} helps {method} on rare classes under attack",
            (f"{method}, {trial}", column),
            (f"{method}, {HELD_OUT}" if "holdout" in changes else method, column),
            metric="worst",
        )
        for column in dict.fromkeys(cell.column for cell in given)
        for method, trials in TRIALS.items()
        for trial, changes in trials.items()
        if trial != HELD_OUT
    ]


RECIPE = Recipe(
    title="What else might help",
    kind="methods",
    data="cifar10",
    cells=cells,
    claims=claims,
    attacks=("pgd-margin-20",),
    asks="What each change is expected to do, and whether it shows",
)

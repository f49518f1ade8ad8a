"""When the separation loss helps: SRAT-CE on Step-100, with one or two of its settings changed at a time.

    srat grid separation --scale small     39 runs (3 seeds) of three minutes on two cores, on Fashion-MNIST
    srat report separation --scale small

Expected: the paper has SRAT-CE above DRCB-CE, and gives neither λ, nor τ, nor the batch (docs/method.md). With a batch
of 128, 78 % of the rare classes' anchors have no positive; larger batches have more of them. The rows with λ = 0 are
DRCB-CE.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from srat.config.config import Config
from srat.feature_losses import Separation
from srat.methods.objective import Objective
from srat.recipes.base import Cell, Claim, Recipe
from srat.recipes.making import imbalanced, larger, of_method

COLUMN = "step-100"
ALONE = "λ = 0"
LARGE = 512
VARIANTS: dict[str, dict[str, Any]] = {
    "λ = 1 (as shipped)": {},
    "λ = 0.3": {"objective": Objective(feature_weight=0.3)},
    "λ = 0.1": {"objective": Objective(feature_weight=0.1)},
    "λ = 0.03": {"objective": Objective(feature_weight=0.03)},
    "τ = 0.3": {"feature_loss": Separation(temperature=0.3)},
    "τ = 1": {"feature_loss": Separation(temperature=1.0)},
    "λ = 0.1, τ = 1": {
        "objective": Objective(feature_weight=0.1),
        "feature_loss": Separation(temperature=1.0),
    },
    "projection to 64": {"feature_loss": Separation(projection_dimensions=64)},
    "reduction mean": {"objective": Objective(reduction="mean")},
    f"batch {LARGE}": {"batch_size": LARGE},
}
"""What each row changes of SRAT-CE."""
CONTROLS: dict[str, dict[str, Any]] = {
    ALONE: {},
    f"{ALONE}, batch {LARGE}": {"batch_size": LARGE},
    f"{ALONE}, reduction mean": {"objective": Objective(reduction="mean")},
}
"""What each row changes of DRCB-CE."""


def cells(base: Config) -> list[Cell]:
    """Return deferred reweighting alone, and with each variant of the separation loss."""
    base = imbalanced(base, COLUMN)
    return [
        Cell(row=row, column=COLUMN, config=replace(of_method(base, method), **changes))
        for method, rows in (("drcb-ce", CONTROLS), ("srat-ce", VARIANTS))
        for row, changes in rows.items()
    ]


def claims(given: Sequence[Cell]) -> list[Claim]:
    """Return that the separation loss helps the rare classes under attack, in each variant."""
    del given
    controls = {f"batch {LARGE}": f"{ALONE}, batch {LARGE}", "reduction mean": f"{ALONE}, reduction mean"}
    return [
        larger(f"{row}: better on rare classes under attack than {control}", (row, COLUMN), (control, COLUMN))
        for row in VARIANTS
        for control in (controls.get(row, ALONE),)
    ]


RECIPE = Recipe(
    title="When the separation loss helps: SRAT-CE, Step-100",
    kind="methods",
    data="cifar10",
    cells=cells,
    claims=claims,
)

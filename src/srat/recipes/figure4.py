"""Figure 4: the features of CE, DRCB-LDAM and SRAT-LDAM on Step-100, as maps (t-SNE).

    srat grid figure4 --scale small     9 runs (3 seeds) of five minutes on two cores, on Fashion-MNIST
    srat report figure4 --scale small

Expected: SRAT-LDAM's classes lie further apart than those of the other two (Section 5.3).
"""

from collections.abc import Sequence

from srat.recipes.base import Cell, Claim, Recipe
from srat.recipes.making import balanced_purity, of_methods

METHODS = ("ce", "drcb-ldam", "srat-ldam")
COLUMN = "step-100"


def claims(_: Sequence[Cell]) -> list[Claim]:
    """Return that SRAT-LDAM's features lie further apart than those of the others."""
    return [
        Claim(
            text=f"SRAT-LDAM's classes lie further apart than {other.upper()}'s (neighbours' purity, mean of groups)",
            terms=(*balanced_purity(1.0, "srat-ldam", COLUMN), *balanced_purity(-1.0, other, COLUMN)),
        )
        for other in ("ce", "drcb-ldam")
    ]


RECIPE = Recipe(
    title="Figure 4: features of CE, DRCB-LDAM and SRAT-LDAM",
    kind="features",
    data="cifar10",
    cells=lambda base: [cell for cell in of_methods(base, (COLUMN,)) if cell.row in METHODS],
    claims=claims,
    mapped=True,
)

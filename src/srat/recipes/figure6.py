"""Figure 6: SRAT with a separation loss that counts λ = 0 to 8, on Step-100 and Exp-100.

    srat grid figure6 --scale small     108 runs (3 seeds) of five minutes on two cores, on Fashion-MNIST
    srat grid figure6 --scale small --filter srat-ldam
    srat report figure6 --scale small

Expected: not very sensitive to λ, but a large one, such as 8, may hurt (Section 5.3). The paper's marks on the axis are
not known but for 8; λ = 0, deferred reweighting alone, is here to compare with.
"""

from collections.abc import Sequence
from dataclasses import replace

from srat.config.config import Config
from srat.recipes.base import Cell, Claim, Recipe
from srat.recipes.making import imbalanced, larger, of_method

VARIANTS = ("srat-ce", "srat-focal", "srat-ldam")
IMBALANCES = ("step-100", "exp-100")
LAMBDAS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)


def cells(base: Config) -> list[Cell]:
    """Return each variant on each imbalance with each λ."""
    found = []
    for variant in VARIANTS:
        for imbalance in IMBALANCES:
            config = imbalanced(of_method(base, variant), imbalance)
            for value in LAMBDAS:
                weighted = replace(config, objective=replace(config.objective, feature_weight=value))
                found.append(Cell(row=f"{variant} {imbalance}", column=f"{value:g}", config=weighted))
    return found


def claims(given: Sequence[Cell]) -> list[Claim]:
    """Return that λ = 8 hurts, and that λ = 1 helps, which Figure 6 does not show, but Tables 1 and 2 say."""
    said = []
    for row in dict.fromkeys(cell.row for cell in given):
        said += [
            larger(f"{row}: λ = 1 above λ = 8 under attack", (row, "1"), (row, "8"), scope="overall"),
            larger(f"{row}: λ = 1 above λ = 0 on rare classes under attack", (row, "1"), (row, "0")),
        ]
    return said


RECIPE = Recipe(
    title="Figure 6: the separation loss's λ in SRAT",
    kind="sweep",
    data="cifar10",
    cells=cells,
    claims=claims,
    axis="λ",
)

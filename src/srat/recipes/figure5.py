"""Figure 5: SRAT on Step-100 with weights of 10 to 200 for the rare classes, 1 for the others.

    srat grid figure5 --scale small     54 runs (3 seeds) of five minutes on two cores, on Fashion-MNIST
    srat grid figure5 --scale small --filter srat-ldam
    srat report figure5 --scale small

Expected: standard accuracy rises with the weight; robust accuracy of SRAT-LDAM hardly changes, that of the others falls
a little; 78, which is what the effective number gives, and 100 do well in both (Section 5.3). The paper's marks on the
axis are not known but for 10, 78, 100 and 200.
"""

from collections.abc import Sequence
from dataclasses import replace

from srat.config.config import Config
from srat.recipes.base import Cell, Claim, Recipe
from srat.recipes.making import imbalanced, larger, of_method
from srat.weightings import Fixed

VARIANTS = ("srat-ce", "srat-focal", "srat-ldam")
WEIGHTS = (10.0, 50.0, 78.0, 100.0, 150.0, 200.0)
CLASSES, WELL = 10, 5


def cells(base: Config) -> list[Cell]:
    """Return each variant with each weight."""
    return [
        Cell(
            row=variant,
            column=f"{weight:g}",
            config=replace(
                imbalanced(of_method(base, variant), "step-100"),
                weighting=Fixed(values=(1.0,) * WELL + (weight,) * (CLASSES - WELL)),
            ),
        )
        for variant in VARIANTS
        for weight in WEIGHTS
    ]


def claims(given: Sequence[Cell]) -> list[Claim]:
    """Return that standard accuracy rises with the weight, and that robust accuracy falls but for LDAM."""
    least, most = f"{WEIGHTS[0]:g}", f"{WEIGHTS[-1]:g}"
    said = []
    for row in dict.fromkeys(cell.row for cell in given):
        text = f"{row}: weight {most} has a higher standard accuracy than weight {least}"
        said.append(larger(text, (row, most), (row, least), metric="standard", scope="overall"))
        if row != "srat-ldam":
            text = f"{row}: weight {most} has a lower robust accuracy than weight {least}"
            said.append(larger(text, (row, least), (row, most), scope="overall"))
    return said


RECIPE = Recipe(
    title="Figure 5: weights of the rare classes in SRAT, Step-100",
    kind="sweep",
    data="cifar10",
    cells=cells,
    claims=claims,
    axis="weight of the rare classes",
)

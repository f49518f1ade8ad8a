"""Table 3: the eleven methods on SVHN, Step imbalance.

    srat grid table3                   66 runs of ResNet-18 (3 seeds), 200 epochs each
    srat grid table3 --scale small     66 runs of two to five minutes on two cores
    srat report table3 [--scale small]

Expected, of the paper's one seed (standard / PGD-20 in %, overall; under):
    step-10   ce         79.88 / 37.62;  67.04 / 22.08
    step-10   drcb-ldam  87.83 / 46.45;  82.63 / 35.15
    step-10   srat-ldam  87.65 / 46.03;  82.62 / 34.75
    step-100  ce         59.61 / 29.57;  26.19 / 5.03
    step-100  drcb-ldam  63.78 / 33.60;  33.99 / 7.28
    step-100  srat-ldam  71.56 / 33.54;  50.33 / 11.63
"""

from srat.recipes.base import Recipe
from srat.recipes.making import claims_of_methods, of_methods
from srat.recipes.values import paper_values

RECIPE = Recipe(
    title="Table 3: methods, Step imbalance",
    kind="methods",
    data="svhn",
    cells=lambda base: of_methods(base, ("step-10", "step-100")),
    claims=claims_of_methods,
    paper=paper_values("table3"),
)

"""Table 4: the eleven methods on SVHN, Exp imbalance.

    srat grid table4                   66 runs of ResNet-18 (3 seeds), 200 epochs each
    srat grid table4 --scale small     66 runs of two to five minutes on two cores
    srat report table4 [--scale small]

Expected, of the paper's one seed (standard / PGD-20 in %, overall; under):
    exp-10    ce         87.54 / 44.12;  82.67 / 35.33
    exp-10    drcb-ldam  91.24 / 52.39;  89.65 / 46.71
    exp-10    srat-ldam  91.27 / 52.10;  89.55 / 46.13
    exp-100   ce         72.51 / 33.34;  56.30 / 16.93
    exp-100   drcb-ldam  80.29 / 40.16;  69.23 / 24.64
    exp-100   srat-ldam  80.71 / 40.33;  70.49 / 25.11
"""

from srat.recipes.base import Recipe
from srat.recipes.making import claims_of_methods, of_methods
from srat.recipes.values import paper_values

RECIPE = Recipe(
    title="Table 4: methods, Exp imbalance",
    kind="methods",
    data="svhn",
    cells=lambda base: of_methods(base, ("exp-10", "exp-100")),
    claims=claims_of_methods,
    paper=paper_values("table4"),
)

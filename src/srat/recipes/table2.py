"""Table 2: the eleven methods on CIFAR-10, Exp imbalance.

    srat grid table2                   66 runs of ResNet-18 (3 seeds), 200 epochs each
    srat grid table2 --scale small     66 runs of three minutes on two cores, on Fashion-MNIST
    srat report table2 [--scale small]

Expected, of the paper's one seed (standard / PGD-20 in %, overall; under):
    exp-10    ce         71.95 / 37.94;  64.09 / 26.79
    exp-10    drcb-ldam  73.92 / 46.29;  78.53 / 48.81
    exp-10    srat-ldam  74.63 / 46.72;  79.82 / 50.38
    exp-100   ce         48.40 / 26.94;  23.04 / 6.17
    exp-100   drcb-ldam  62.65 / 31.66;  57.19 / 22.11
    exp-100   srat-ldam  63.11 / 34.22;  65.60 / 32.55
"""

from srat.recipes.base import Recipe
from srat.recipes.making import claims_of_methods, of_methods
from srat.recipes.values import paper_values

RECIPE = Recipe(
    title="Table 2: methods, Exp imbalance",
    kind="methods",
    data="cifar10",
    cells=lambda base: of_methods(base, ("exp-10", "exp-100")),
    claims=claims_of_methods,
    paper=paper_values("table2"),
)

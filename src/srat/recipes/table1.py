"""Table 1: the eleven methods on CIFAR-10, Step imbalance.

    srat grid table1                   66 runs of ResNet-18 (3 seeds), 200 epochs each
    srat grid table1 --scale small     66 runs of three minutes on two cores, on Fashion-MNIST
    srat report table1 [--scale small]

Expected, of the paper's one seed (standard / PGD-20 in %, overall; under):
    step-10   ce         63.26 / 36.96;  40.62 / 14.23
    step-10   drcb-ldam  72.95 / 45.23;  75.42 / 44.98
    step-10   srat-ldam  73.99 / 45.60;  76.63 / 45.96
    step-100  ce         47.29 / 30.39;  9.03 / 1.62
    step-100  drcb-ldam  61.60 / 31.37;  50.69 / 16.25
    step-100  srat-ldam  63.13 / 33.51;  52.73 / 18.89
"""

from srat.recipes.base import Recipe
from srat.recipes.making import claims_of_methods, of_methods
from srat.recipes.values import paper_values

RECIPE = Recipe(
    title="Table 1: methods, Step imbalance",
    kind="methods",
    data="cifar10",
    cells=lambda base: of_methods(base, ("step-10", "step-100")),
    claims=claims_of_methods,
    paper=paper_values("table1"),
)

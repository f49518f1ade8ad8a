"""Figure 8: class by class, natural against adversarial training on CIFAR-10, Exp-100.

    srat grid figure8 --scale small     6 runs (3 seeds) of one to five minutes on two cores, on Fashion-MNIST
    srat report figure8 --scale small

Expected: a wider gap between common and rare classes in adversarial training (Appendix A.1).
"""

from srat.recipes.base import Recipe
from srat.recipes.making import claims_of_training, natural_and_adversarial

RECIPE = Recipe(
    title="Figure 8: natural and adversarial training, Exp-100",
    kind="classes",
    data="cifar10",
    cells=lambda base: natural_and_adversarial(base, "exp-100"),
    claims=claims_of_training,
)

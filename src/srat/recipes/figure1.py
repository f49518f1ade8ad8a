"""Figure 1: class by class, natural against adversarial training on CIFAR-10, Step-100.

    srat grid figure1 --scale small     6 runs (3 seeds) of one to five minutes on two cores, on Fashion-MNIST
    srat report figure1 --scale small

Expected: standard accuracy of common to rare classes about 2 : 1 in natural training, 16 : 1 in adversarial
training; there three of the five rare classes have neither standard nor robust accuracy (Section 2.1).
"""

from srat.recipes.base import Recipe
from srat.recipes.making import claims_of_training, natural_and_adversarial

RECIPE = Recipe(
    title="Figure 1: natural and adversarial training, Step-100",
    kind="classes",
    data="cifar10",
    cells=lambda base: natural_and_adversarial(base, "step-100"),
    claims=claims_of_training,
)

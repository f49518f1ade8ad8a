"""Figure 7: class by class, natural against adversarial training on CIFAR-10, Step-10.

    srat grid figure7 --scale small     6 runs (3 seeds) of one to five minutes on two cores, on Fashion-MNIST
    srat report figure7 --scale small

Expected: a wider gap between common and rare classes in adversarial training (Appendix A.1).
"""

from srat.recipes.base import Recipe
from srat.recipes.making import claims_of_training, natural_and_adversarial

RECIPE = Recipe(
    title="Figure 7: natural and adversarial training, Step-10",
    kind="classes",
    data="cifar10",
    cells=lambda base: natural_and_adversarial(base, "step-10"),
    claims=claims_of_training,
)

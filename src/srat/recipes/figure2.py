"""Figure 2: two classes of CIFAR-10, 5,000 cats and 50 horses that count 1 to 200 times as much.

    srat grid figure2 --scale small     42 runs (3 seeds) of one to three minutes on two cores, on Fashion-MNIST
    srat report figure2 --scale small

Expected: from 1 : 1 to 150 : 1 the rare class rises from 0 to about 60 % (standard) and 50 % (robust) in adversarial
training, and the common class falls drastically; natural training's common class loses little (Section 2.2).
"""

from srat.recipes.base import Recipe
from srat.recipes.making import claims_of_pair, of_pair

PAIRS = {"cifar10": (3, 7), "fashion-mnist": (5, 7)}
"""Cat and horse; on Fashion-MNIST sandal and sneaker, which are as alike."""

RECIPE = Recipe(
    title="Figure 2: weights for the rarer of two classes (the paper's: cat and horse)",
    kind="sweep",
    data="cifar10",
    cells=lambda base: of_pair(base, PAIRS),
    claims=claims_of_pair,
    axis="weight of the rare class",
)

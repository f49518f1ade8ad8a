"""Figure 10: two classes of CIFAR-10, 5,000 automobiles and 50 trucks that count 1 to 200 times as much.

    srat grid figure10 --scale small     42 runs (3 seeds) of one to three minutes on two cores, on Fashion-MNIST
    srat report figure10 --scale small

Expected: with the weight, adversarial training's rare class gains and its common class loses, in both accuracies;
natural training's common class loses little (Section 2.2).
"""

from srat.recipes.base import Recipe
from srat.recipes.making import claims_of_pair, of_pair

PAIRS = {"cifar10": (1, 9), "fashion-mnist": (2, 4)}
"""Automobile and truck; on Fashion-MNIST pullover and coat, which are as alike."""

RECIPE = Recipe(
    title="Figure 10: weights for the rarer of two classes (the paper's: automobile and truck)",
    kind="sweep",
    data="cifar10",
    cells=lambda base: of_pair(base, PAIRS),
    claims=claims_of_pair,
    axis="weight of the rare class",
)

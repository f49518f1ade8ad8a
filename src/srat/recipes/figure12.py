"""Figure 12: two classes of CIFAR-10, 5,000 dogs and 50 deer that count 1 to 200 times as much.

    srat grid figure12 --scale small     42 runs (3 seeds) of one to three minutes on two cores, on Fashion-MNIST
    srat report figure12 --scale small

Expected: with the weight, adversarial training's rare class gains and its common class loses, in both accuracies;
natural training's common class loses little (Section 2.2).
"""

from srat.recipes.base import Recipe
from srat.recipes.making import claims_of_pair, of_pair

PAIRS = {"cifar10": (5, 4), "fashion-mnist": (3, 4)}
"""Dog and deer; on Fashion-MNIST dress and coat, which are as alike."""

RECIPE = Recipe(
    title="Figure 12: weights for the rarer of two classes (the paper's: dog and deer)",
    kind="sweep",
    data="cifar10",
    cells=lambda base: of_pair(base, PAIRS),
    claims=claims_of_pair,
    axis="weight of the rare class",
)

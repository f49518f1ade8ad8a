"""Figure 13: how many training images the classes of CIFAR-10 have under the four imbalances.

    srat report figure13     trains nothing; seconds

Expected: 25,250, 27,500, 12,406 and 20,431 images in all; 5,000 in the most frequent class.
"""

from srat.recipes.base import Cell, Recipe
from srat.recipes.making import imbalanced

IMBALANCES = ("step-100", "step-10", "exp-100", "exp-10")

RECIPE = Recipe(
    title="Figure 13: training images under four imbalances",
    kind="distribution",
    data="cifar10",
    cells=lambda base: [Cell(row="images", column=name, config=imbalanced(base, name)) for name in IMBALANCES],
)

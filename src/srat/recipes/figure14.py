"""Figure 14: how many training images the classes of SVHN have under the four imbalances.

    srat report figure14     trains nothing; seconds

Expected: n_i · τ^i of SVHN's own counts, so that Exp-100's largest and smallest class are 180.6 : 1.
"""

from srat.recipes.base import Cell, Recipe
from srat.recipes.making import imbalanced

IMBALANCES = ("step-100", "step-10", "exp-100", "exp-10")

RECIPE = Recipe(
    title="Figure 14: training images under four imbalances",
    kind="distribution",
    data="svhn",
    cells=lambda base: [Cell(row="images", column=name, config=imbalanced(base, name)) for name in IMBALANCES],
)

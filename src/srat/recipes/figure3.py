"""Figure 3: the features of natural and of adversarial training on two classes, as maps (t-SNE).

    srat grid figure3 --scale small     6 runs (3 seeds) of less than a minute on two cores, on Fashion-MNIST
    srat report figure3 --scale small

Expected: the classes mix in adversarial training, and lie apart in natural training (Section 3). The runs are those of
Figure 2 with a weight of 1.
"""

from collections.abc import Sequence

from srat.recipes.base import Cell, Claim, Recipe
from srat.recipes.figure2 import PAIRS
from srat.recipes.making import ADVERSARIALLY, NATURAL, larger, of_pair


def claims(given: Sequence[Cell]) -> list[Claim]:
    """Return that natural training's features lie further apart."""
    natural, adversarial = ((row, given[0].column) for row in (NATURAL, ADVERSARIALLY))
    text = "the classes lie further apart in natural training's features (purity of the ten nearest neighbours)"
    return [larger(text, natural, adversarial, metric="purity", scope="overall")]


RECIPE = Recipe(
    title="Figure 3: features of natural and adversarial training",
    kind="features",
    data="cifar10",
    cells=lambda base: [cell for cell in of_pair(base, PAIRS) if cell.column == "1"],
    claims=claims,
    mapped=True,
)

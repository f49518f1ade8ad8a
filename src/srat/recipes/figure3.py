"""Figure 3: the features of natural and of adversarial training on two classes, as maps (t-SNE).

    srat grid figure3 --scale small     6 runs (3 seeds) of one to three minutes on two cores, on Fashion-MNIST
    srat report figure3 --scale small

Expected: the classes mix in adversarial training, and lie apart in natural training (Section 3). The runs are those of
Figure 2 with a weight of 1.
"""

from collections.abc import Sequence

from srat.recipes.base import Cell, Claim, Recipe
from srat.recipes.figure2 import PAIRS
from srat.recipes.making import ADVERSARIALLY, NATURAL, balanced_purity, of_pair


def claims(given: Sequence[Cell]) -> list[Claim]:
    """Return that natural training's features lie further apart."""
    column = given[0].column
    text = "the classes lie further apart in natural training's features (purity of neighbours, mean of both classes)"
    terms = (*balanced_purity(1.0, NATURAL, column), *balanced_purity(-1.0, ADVERSARIALLY, column))
    return [Claim(text=text, terms=terms)]


RECIPE = Recipe(
    title="Figure 3: features of natural and adversarial training",
    kind="features",
    data="cifar10",
    cells=lambda base: [cell for cell in of_pair(base, PAIRS) if cell.column == "1"],
    claims=claims,
    mapped=True,
)

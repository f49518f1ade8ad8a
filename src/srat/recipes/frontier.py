"""What robustness costs: every method's accuracy under attack against the passes that its training takes.

    srat grid frontier --scale medium    186 runs (3 seeds) of a quarter of an hour and more on two cores, on CIFAR-10,
                                         24 of them under PGD-10, which takes four times as long
    srat report frontier --scale medium

Expected: one step of N-FGSM has a fifth of PGD-10's passes (de Jorge et al., 2022), and nearly its accuracy on
balanced data; we know of no look at rare classes. Some methods are trained under the other attack, too, to see whether
their order stays.
"""

from srat.attacks import NFGSM, PGD
from srat.config.composition import compose
from srat.config.config import Config
from srat.recipes.base import Cell, Recipe
from srat.recipes.field import of_field
from srat.recipes.making import each_once, imbalanced, of_method

COLUMNS = ("exp-100", "step-100")
UNDER_BOTH = ("ce", "bsl", "drcb-ldam", "srat-ldam")
"""Methods that are trained under PGD and under N-FGSM."""


def cells(base: Config) -> list[Cell]:
    """Return every method that attacks its images, and some of them under the attack that the others do not have."""
    return [
        Cell(row=row, column=column, config=config)
        for column in COLUMNS
        for row, config in each_once(of_field(base, column) | _under_the_other(base, column)).items()
    ]


def _under_the_other(base: Config, column: str) -> dict[str, Config]:
    other = NFGSM if isinstance(base.attack, PGD) else PGD
    base = imbalanced(base, column)
    return {f"{name}, {other.name}": compose(of_method(base, name), attack=other.name) for name in UNDER_BOTH}


RECIPE = Recipe(title="What robustness costs", kind="frontier", data="cifar10", cells=cells, attacks=("pgd-margin-20",))

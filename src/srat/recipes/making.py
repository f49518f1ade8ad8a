"""What the recipes have in common: the runs of a kind, and what the paper says of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from srat.attacks import PGD
from srat.config.composition import compose
from srat.config.config import Config
from srat.core.errors import require_field
from srat.data.imbalance import Exponential, Imbalance, Step
from srat.methods.table import METHODS
from srat.optimization.schedules import Steps
from srat.recipes.base import Cell, Claim, Metric, Scope, Term
from srat.recipes.scales import LARGEST_RATIO
from srat.weightings import Fixed

ADVERSARIAL = tuple(name for name, method in METHODS.items() if method.attacked)
"""The eleven methods of Tables 1 to 4, in the paper's order."""
_PROFILES: Mapping[str, type[Step] | type[Exponential]] = {"step": Step, "exp": Exponential}
_WHERE: tuple[tuple[Metric, Scope, str], ...] = (
    ("robust", "under", "on rare classes under attack"),
    ("robust", "overall", "under attack"),
    ("standard", "under", "on rare classes"),
    ("standard", "overall", "on all classes"),
)
NATURAL, ADVERSARIALLY = "natural", "adversarial"


def imbalanced(base: Config, name: str) -> Config:
    """Return the configuration on one of the paper's imbalances, at the scale of what runs start from.

    The base's ratio stands for the paper's 100, and its square root for 10; how many images a class may have stays.

    Args:
        base: what the runs start from.
        name: in the paper's words, such as "step-100".
    """
    profile, papers = name.split("-")
    largest: float = getattr(base.imbalance, "ratio", LARGEST_RATIO)
    ratio = largest ** (math.log(float(papers)) / math.log(LARGEST_RATIO))
    imbalance: Imbalance = _PROFILES[profile](ratio=ratio, cap=getattr(base.imbalance, "cap", None))
    return replace(base, imbalance=imbalance)


def of_method(base: Config, name: str) -> Config:
    """Return the run of a method, under the attack that the base trains with where the method's own is PGD.

    A start of its own, such as TRADES' σ = 0.001, goes with that PGD: the base's attack brings its own.
    """
    config, attack = compose(base, method=name), base.attack
    if isinstance(attack, PGD) or not isinstance(config.attack, PGD):
        return config
    first = config.before.attack
    before = replace(config.before, attack=attack) if isinstance(first, PGD) else config.before
    return replace(config, attack=attack, before=before)


def each_once(rows: Mapping[str, Config]) -> dict[str, Config]:
    """Return the rows without those that are the run of an earlier one, as a method may be under the base's attack."""
    first: dict[str, str] = {}
    for row, config in rows.items():
        first.setdefault(config.id, row)
    return {row: rows[row] for row in first.values()}


def of_methods(base: Config, imbalances: Sequence[str]) -> list[Cell]:
    """Return a table's runs: the eleven methods on each imbalance."""
    return [
        Cell(row=method, column=column, config=imbalanced(of_method(base, method), column))
        for column in imbalances
        for method in ADVERSARIAL
    ]


def natural_and_adversarial(base: Config, imbalance: str) -> list[Cell]:
    """Return cross-entropy on images as they are, and on adversarial ones."""
    base = imbalanced(base, imbalance)
    return [
        Cell(row=NATURAL, column=imbalance, config=compose(base, method="natural")),
        Cell(row=ADVERSARIALLY, column=imbalance, config=of_method(base, "ce")),
    ]


WEIGHTS = (1.0, 10.0, 25.0, 50.0, 100.0, 150.0, 200.0)
"""Weights of the rare class; the paper says 1 to 200 and plots no numbers."""


PAIR_EPOCHS = 5
"""At the small scale, where two classes have a fifth of the images, and would have a fifth of the steps."""


def longer(base: Config, times: int) -> Config:
    """Return the configuration with more epochs, all of its schedule stretched; as it is at the paper's scale."""
    schedule = base.schedule
    if not isinstance(schedule, Steps) or schedule.milestones is None:
        return base
    milestones = tuple(times * milestone for milestone in schedule.milestones)
    return replace(base, epochs=times * base.epochs, schedule=replace(schedule, milestones=milestones))


def of_pair(base: Config, pairs: Mapping[str, tuple[int, int]]) -> list[Cell]:
    """Return two classes, the second one with a hundredth of the images, which count up to 200 times as much.

    The weights apply from the first epoch on: the paper says nothing of a deferral here (Section 2.2).

    Args:
        base: what the runs start from.
        pairs: for each data set the labels of the two, the common one first.
    """
    require_field(base.data.name in pairs, "data", f"one of {', '.join(pairs)} for this figure", base.data.name)
    base = replace(
        base,
        data=replace(base.data, classes=pairs[base.data.name]),
        schedule=replace(base.schedule, reweight_from=0),
    )
    base = imbalanced(longer(base, PAIR_EPOCHS), "step-100")
    return [
        Cell(
            row=row,
            column=f"{weight:g}",
            config=replace(of_method(base, method), weighting=Fixed(values=(1.0, weight))),
        )
        for row, method in ((NATURAL, "natural"), (ADVERSARIALLY, "ce"))
        for weight in WEIGHTS
    ]


def larger(
    text: str, first: tuple[str, str], second: tuple[str, str], *, metric: Metric = "robust", scope: Scope = "under"
) -> Claim:
    """Return the claim that an accuracy of the first (row, column) is larger than that of the second."""
    signed = ((1.0, first), (-1.0, second))
    terms = (Term(factor=f, row=row, column=column, metric=metric, scope=scope) for f, (row, column) in signed)
    return Claim(text=text, terms=tuple(terms))


def balanced_purity(factor: float, row: str, column: str) -> tuple[Term, Term]:
    """Return the terms of a factor times the mean of both groups' purity; overall, the common classes would decide."""
    first, second = (
        Term(factor=factor / 2, row=row, column=column, metric="purity", scope=scope) for scope in ("well", "under")
    )
    return first, second


def gap(factor: float, row: str, column: str, metric: Metric = "standard") -> tuple[Term, Term]:
    """Return the terms of a factor times what well-represented classes have more than under-represented ones."""
    return (
        Term(factor=factor, row=row, column=column, metric=metric, scope="well"),
        Term(factor=-factor, row=row, column=column, metric=metric, scope="under"),
    )


def claims_of_methods(cells: Sequence[Cell]) -> list[Claim]:
    """Return what Section 5.2 says of Tables 1 to 4, on each of their imbalances.

    SRAT is above deferred reweighting with the same loss, in both accuracies, most of all on the rare classes; LDAM is
    above the other losses in either.
    """
    said = []
    for column in dict.fromkeys(cell.column for cell in cells):
        for loss in ("ce", "focal", "ldam"):
            pair = (f"srat-{loss}", column), (f"drcb-{loss}", column)
            for metric, scope, where in _WHERE:
                text = f"{column}: SRAT-{loss.upper()} above DRCB-{loss.upper()} {where}"
                said.append(larger(text, *pair, metric=metric, scope=scope))
        for loss in ("ce", "focal"):
            for family in ("drcb", "srat"):
                text = f"{column}: {family.upper()}-LDAM above {family.upper()}-{loss.upper()} under attack"
                said.append(larger(text, (f"{family}-ldam", column), (f"{family}-{loss}", column), scope="overall"))
    return said


def claims_of_training(cells: Sequence[Cell]) -> list[Claim]:
    """Return what Section 2.1 says of natural and adversarial training: the latter's classes lie further apart."""
    column = cells[0].column
    return [
        Claim(
            text=f"{column}: between well- and under-represented classes, adversarial training leaves a wider gap "
            "of standard accuracy than natural training",
            terms=(*gap(1.0, ADVERSARIALLY, column), *gap(-1.0, NATURAL, column)),
        ),
        larger(
            f"{column}: on rare classes, natural training has the higher standard accuracy",
            (NATURAL, column),
            (ADVERSARIALLY, column),
            metric="standard",
        ),
        Claim(
            text=f"{column}: under attack, adversarial training's common classes are ahead of its rare ones",
            terms=gap(1.0, ADVERSARIALLY, column, "robust"),
        ),
    ]


def claims_of_pair(cells: Sequence[Cell]) -> list[Claim]:
    """Return what Section 2.2 says of weights for the rarer of two classes."""
    columns = [cell.column for cell in cells]
    least, most = "1", "150" if "150" in columns else columns[-1]

    def change(factor: float, row: str, scope: Scope, metric: Metric) -> tuple[Term, Term]:
        return (
            Term(factor=factor, row=row, column=most, metric=metric, scope=scope),
            Term(factor=-factor, row=row, column=least, metric=metric, scope=scope),
        )

    return [
        *(
            Claim(
                text=f"weight {most} against {least}: adversarial training's rare class gains {metric} accuracy",
                terms=change(1.0, ADVERSARIALLY, "under", metric),
            )
            for metric in ("standard", "robust")
        ),
        *(
            Claim(
                text=f"weight {most} against {least}: adversarial training's common class loses {metric} accuracy",
                terms=change(-1.0, ADVERSARIALLY, "well", metric),
            )
            for metric in ("standard", "robust")
        ),
        Claim(
            text=f"weight {most} against {least}: natural training's common class loses less standard accuracy",
            terms=(*change(-1.0, ADVERSARIALLY, "well", "standard"), *change(1.0, NATURAL, "well", "standard")),
        ),
    ]

"""What a recipe is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from srat.config.config import Config

Kind = Literal["methods", "classes", "sweep", "features", "distribution", "frontier"]
"""What is shown: methods in rows, bars of classes, curves over a setting, maps of features, counts of classes, cost."""
Metric = Literal["standard", "robust", "worst", "purity"]
"""Accuracy on images as they are, under PGD-20 (both in the paper's words), and in the worst case over several attacks;
of mapped features, their purity."""
Scope = Literal["overall", "well", "under"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A configuration, but for its seed, and where its numbers belong."""

    row: str
    """A method, or a way of training."""
    column: str
    """An imbalance, or the value of what is swept."""
    config: Config


@dataclass(frozen=True, kw_only=True)
class PaperValue:
    """A number that the paper gives."""

    row: str
    column: str
    metric: Metric
    scope: Scope
    accuracy: float
    """In [0, 1]; of one model, on 10,000 test images."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """An accuracy of a cell, times a number."""

    factor: float
    row: str
    column: str
    metric: Metric
    scope: Scope


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement, of the paper or our own, as a sum of accuracies that it says to be above 0."""

    text: str
    terms: tuple[Term, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A table or figure of the paper, or a study of our own."""

    title: str
    kind: Kind
    data: str
    """The data set that the paper takes."""
    cells: Callable[[Config], Sequence[Cell]]
    """From what all its runs start from to the runs."""
    claims: Callable[[Sequence[Cell]], Sequence[Claim]] = lambda _: ()
    """What is said of such cells, where that can be put in numbers."""
    asks: str = "What the paper finds, and whether it shows in these runs"
    """The heading of the table that says whether it shows."""
    paper: Sequence[PaperValue] = ()
    """The numbers that it prints."""
    axis: str = ""
    """What is swept."""
    attacks: tuple[str, ...] = ()
    """What its runs are evaluated under beside PGD-20, by its words; tables have the worst case."""
    mapped: bool = False
    """Whether the features of its runs are mapped."""

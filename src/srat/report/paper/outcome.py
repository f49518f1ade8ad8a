"""What the runs of a recipe have come to, as far as they are there."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srat.evaluation import CLEAN, Evaluation
from srat.evaluation.feature_map import FeatureMap
from srat.evaluation.intervals import Mean, Sum, mean_of_counts, t95, weighted_sum
from srat.grid import jobs_of
from srat.recipes import Cell, Metric, PaperValue, Recipe, Scale, Scope, Term

MOST_SEEDS = 20
"""Seeds that are looked for."""
Key = tuple[str, str]
"""Row and column of a cell."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """A recipe's cells, and their evaluations by seed."""

    name: str
    recipe: Recipe
    scale: Scale
    cells: Sequence[Cell]
    evaluations: Mapping[Key, Sequence[Evaluation]]
    maps: Mapping[Key, Sequence[FeatureMap]]

    @property
    def title(self) -> str:
        """What it shows, and of which runs."""
        return f"{self.recipe.title}, {self.cells[0].config.data.name}, {self.scale} scale"

    @property
    def like_the_paper(self) -> bool:
        """Whether numbers, not only their order, are to be compared with the paper's."""
        return self.scale == "paper" and self.cells[0].config.data.name == self.recipe.data

    @property
    def rows(self) -> list[str]:
        """The cells' rows, each once."""
        return list(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def columns(self) -> list[str]:
        """The cells' columns, each once."""
        return list(dict.fromkeys(cell.column for cell in self.cells))

    @property
    def missing(self) -> list[str]:
        """The cells without a finished run."""
        return [f"{cell.row} {cell.column}" for cell in self.cells if not self._there(cell)]

    @property
    def seeds(self) -> tuple[int, int]:
        """How many seeds a cell that is there has, at the least and at the most."""
        counts = [len(self.evaluations[_key(cell)]) for cell in self.cells if self._there(cell)]
        return (min(counts), max(counts)) if counts else (0, 0)

    def accuracy(self, row: str, column: str, metric: Metric, scope: Scope) -> Mean | None:
        """Return the mean over the seeds of a cell's accuracy, or None where there is no run."""
        if metric == "purity":
            return mean_purity(self.maps.get((row, column), ()), scope)
        found = self.evaluations.get((row, column), ())
        if not found:
            return None
        classes = {"overall": range(len(found[0].class_names)), "well": found[0].groups.well}.get(
            scope, found[0].groups.under
        )
        return self.of_classes(row, column, metric, classes)

    def of_classes(self, row: str, column: str, metric: Metric, classes: Sequence[int]) -> Mean:
        """Return the mean over the seeds of a cell's accuracy on some classes."""
        cell = next(cell for cell in self.cells if _key(cell) == (row, column))
        result = CLEAN if metric == "standard" else cell.config.evaluation.label
        counts = [evaluation.results[result].counts for evaluation in self.evaluations[row, column]]
        correct = [sum(each.correct[c] for c in classes) for each in counts]
        return mean_of_counts(correct, sum(counts[0].total[c] for c in classes))

    def sum_of(self, terms: Sequence[Term]) -> Sum | None:
        """Return the sum that a claim is about, or None if a run is missing."""
        parts = [self.accuracy(term.row, term.column, term.metric, term.scope) for term in terms]
        there = [part for part in parts if part is not None]
        return weighted_sum([term.factor for term in terms], there) if len(there) == len(terms) else None

    def paper(self, row: str, column: str, metric: Metric, scope: Scope) -> float | None:
        """Return the paper's number, if it gives one."""
        wanted = (row, column, metric, scope)
        return next((each.accuracy for each in self.recipe.paper if _place(each) == wanted), None)

    def paper_sum_of(self, terms: Sequence[Term]) -> float | None:
        """Return the sum that a claim is about by the paper's numbers, if it gives them all."""
        parts = [self.paper(term.row, term.column, term.metric, term.scope) for term in terms]
        there = [term.factor * part for term, part in zip(terms, parts, strict=True) if part is not None]
        return math.fsum(there) if len(there) == len(terms) else None

    def _there(self, cell: Cell) -> bool:
        return bool(self.evaluations.get(_key(cell)))


def collect(name: str, recipe: Recipe, cells: Sequence[Cell], runs: Path, *, scale: Scale) -> Outcome:
    """Return what is there of a recipe's cells in a folder of runs."""
    evaluations: dict[Key, list[Evaluation]] = {}
    maps: dict[Key, list[FeatureMap]] = {}
    for cell in cells:
        for job in jobs_of([cell], range(MOST_SEEDS), runs, mapped=recipe.mapped):
            if job.evaluated:
                evaluations.setdefault(_key(cell), []).append(Evaluation.read(job.folder.evaluation("last")))
            if recipe.mapped and job.folder.map.exists():
                maps.setdefault(_key(cell), []).append(FeatureMap.read(job.folder.map))
    return Outcome(name=name, recipe=recipe, scale=scale, cells=cells, evaluations=evaluations, maps=maps)


def mean_purity(maps: Sequence[FeatureMap], scope: Scope) -> Mean | None:
    """Return the mean over the seeds of the neighbours' purity in a scope, or None without a map.

    Its interval has the bootstrap's of a single map for the images, and Student's for the seeds.
    """
    name = {"overall": "overall", "well": "well-represented", "under": "under-represented"}[scope]
    found = [each["purity"] for map_ in maps for each in map_.separability if each["scope"] == name]
    if not found:
        return None
    values = np.array([[each["value"], each["low"], each["high"]] for each in found])
    value = float(values[:, 0].mean())
    spread = float(values[:, 0].std(ddof=1)) if len(found) > 1 else math.nan
    of_seeds = (t95(len(found) - 1) * spread) ** 2 / len(found) if len(found) > 1 else 0.0
    below, above = (math.sqrt(float(((values[:, 0] - values[:, k]) ** 2).mean()) + of_seeds) for k in (1, 2))
    return Mean(value, max(0.0, value - below), min(1.0, value + above), spread)


def _key(cell: Cell) -> Key:
    return cell.row, cell.column


def _place(value: PaperValue) -> tuple[str, str, Metric, Scope]:
    return value.row, value.column, value.metric, value.scope

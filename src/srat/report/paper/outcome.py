"""What the runs of a recipe have come to, as far as they are there."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from srat.attacks.named import named
from srat.core.errors import UserError
from srat.evaluation.feature_map import FeatureMap
from srat.evaluation.record import CLEAN, WORST, Evaluation
from srat.feature_losses import NoFeatureLoss
from srat.grid.plan import jobs_of
from srat.recipes.base import Cell, Metric, PaperValue, Recipe, Scope, Term
from srat.recipes.scales import Scale
from srat.statistics.intervals import (
    Mean,
    Sum,
    mean_of_counts,
    mean_of_estimates,
    sum_of_counts,
    t95,
    weighted_sum,
    wilson,
)

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
    positives: Mapping[Key, Sequence[float]] = field(default_factory=dict)
    """By seed: the share of rare anchors that had a positive in their batch, over all epochs; of a separation loss."""
    precisions: Sequence[str] = ()
    """What the runs computed in, each once, in order."""
    damaged: Sequence[str] = ()
    """What is there and cannot be read."""

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
    def class_names(self) -> tuple[str, ...]:
        """The classes' names; none without a run."""
        found = next((self._found(cell) for cell in self.cells if self._found(cell)), ())
        return found[0].class_names if found else ()

    @property
    def missing(self) -> list[str]:
        """The cells without a finished run."""
        return [f"{cell.row} {cell.column}" for cell in self.cells if not self._found(cell)]

    @property
    def judged_by(self) -> Metric:
        """What decides: the worst of several attacks, where runs are evaluated so."""
        return "worst" if self.recipe.attacks else "robust"

    @property
    def unjudged(self) -> list[str]:
        """The cells with a run that has not been evaluated under the recipe's further attacks, and no others."""
        if not self.recipe.attacks:
            return []
        return [
            f"{cell.row} {cell.column}"
            for cell in self.cells
            if self._found(cell) and not self._has(*_key(cell), "worst")
        ]

    @property
    def seeds(self) -> tuple[int, int]:
        """How many seeds a cell that is there has, at the least and at the most."""
        counts = [len(self._found(cell)) for cell in self.cells if self._found(cell)]
        return (min(counts), max(counts)) if counts else (0, 0)

    def accuracy(self, row: str, column: str, metric: Metric, scope: Scope) -> Mean | None:
        """Return the mean over the seeds of a cell's accuracy, or None where there is no run."""
        if metric == "purity":
            return mean_purity(self.maps.get((row, column), ()), scope)
        if not self._has(row, column, metric):
            return None
        return self.of_classes(row, column, metric, self._classes((row, column), scope))

    def of_classes(self, row: str, column: str, metric: Metric, classes: Sequence[int]) -> Mean:
        """Return the mean over the seeds of a cell's accuracy on some classes."""
        return mean_of_counts(*self._counts(row, column, metric, classes))

    def _has(self, row: str, column: str, metric: Metric) -> bool:
        """Return whether there are runs of a cell, and all have been evaluated so."""
        found = self.evaluations.get((row, column), ())
        return bool(found) and (metric != "worst" or all(self._of_all_attacks(each) for each in found))

    def _of_all_attacks(self, evaluation: Evaluation) -> bool:
        """Return whether there is a worst case, of the recipe's attacks and no others."""
        worst, threat = evaluation.results.get(WORST), self.cells[0].config.evaluation
        wanted = {threat.label, *(named(word, threat=threat).label for word in self.recipe.attacks)}
        return worst is not None and set(worst.attack.get("of", ())) == wanted

    def _classes(self, run: Key, scope: Scope) -> Sequence[int]:
        first = self.evaluations[run][0]
        every = range(len(first.class_names))
        return {"overall": every, "well": first.groups.well, "under": first.groups.under}[scope]

    def _counts(self, row: str, column: str, metric: Metric, classes: Sequence[int]) -> tuple[list[int], int]:
        """Return how many images each seed's model gets right, and of how many."""
        cell = next(cell for cell in self.cells if _key(cell) == (row, column))
        result = {"standard": CLEAN, "worst": WORST}.get(metric, cell.config.evaluation.label)
        counts = [evaluation.results[result].counts for evaluation in self.evaluations[row, column]]
        correct = [sum(each.correct[c] for c in classes) for each in counts]
        return correct, sum(counts[0].total[c] for c in classes)

    def sums_of(self, terms: Sequence[Term]) -> Callable[[float], Sum] | None:
        """Return the sum that a claim is about, for any p, or None if a run is missing.

        Terms of one run are taken together.

        Args:
            terms: of the sum.

        Returns:
            The sum with the interval that misses with a given p; images are counted once, whatever p is asked for.
        """
        parts: list[Callable[[float], Sum]] = []
        for run in dict.fromkeys((term.row, term.column) for term in terms):
            own = [term for term in terms if (term.row, term.column) == run]
            if not all(self._has(*run, term.metric) for term in own):
                return None
            counts = [term for term in own if term.metric != "purity"]
            for term in (term for term in own if term not in counts):
                purities = _purities(self.maps.get(run, ()), term.scope)
                if not purities:
                    return None
                parts.append(partial(_weighted_mean, term.factor, purities))
            if counts:
                found = [self._counts(*run, term.metric, self._classes(run, term.scope)) for term in counts]
                correct = list(zip(*(each for each, _ in found), strict=True))
                factors, totals = [term.factor for term in counts], [total for _, total in found]
                parts.append(partial(_weighted_counts, factors, correct, totals))
        return lambda p: weighted_sum([1.0] * len(parts), [part(p) for part in parts])

    def agrees(self, row: str, column: str, metric: Metric, scope: Scope) -> bool | None:
        """Return whether the difference to the paper's number has 0 in its interval; None if that cannot be said.

        The paper's number is of one seed, on the same test images, and varies with it as ours do: of one seed of ours
        nobody knows how much that is.
        """
        papers, found = self.paper(row, column, metric, scope), self.evaluations.get((row, column), ())
        if papers is None or len(found) < 2 or not self.like_the_paper:
            return None
        correct, total = self._counts(row, column, metric, self._classes((row, column), scope))
        ours = mean_of_counts(correct, total)
        own, of_seed = wilson(papers * total, total), t95(len(found) - 1) * ours.spread
        reach = [math.hypot(papers - own.low, of_seed), math.hypot(own.high - papers, of_seed)]
        theirs = Sum(papers, papers - reach[0], papers + reach[1])
        difference = weighted_sum((1.0, -1.0), (Sum(*ours[:3]), theirs))
        return difference.low <= 0 <= difference.high

    def paper(self, row: str, column: str, metric: Metric, scope: Scope) -> float | None:
        """Return the paper's number, if it gives one."""
        wanted = (row, column, metric, scope)
        return next((each.accuracy for each in self.recipe.paper if _place(each) == wanted), None)

    def paper_sum_of(self, terms: Sequence[Term]) -> float | None:
        """Return the sum that a claim is about by the paper's numbers, if it gives them all."""
        parts = [self.paper(term.row, term.column, term.metric, term.scope) for term in terms]
        there = [term.factor * part for term, part in zip(terms, parts, strict=True) if part is not None]
        return math.fsum(there) if len(there) == len(terms) else None

    def _found(self, cell: Cell) -> Sequence[Evaluation] | Sequence[FeatureMap]:
        return (self.maps if self.recipe.mapped else self.evaluations).get(_key(cell), ())


def collect(
    name: str, recipe: Recipe, cells: Sequence[Cell], runs: Path, *, scale: Scale, exactly: bool = False
) -> Outcome:
    """Return what is there of a recipe's cells in a folder of runs.

    Args:
        name: the recipe's.
        recipe: the recipe.
        cells: those of its cells that are wanted.
        runs: the folder.
        scale: that of the cells.
        exactly: whether a run in bf16 is none in fp32, nor the other way round.
    """
    precisions = set()
    evaluations: dict[Key, list[Evaluation]] = {}
    maps: dict[Key, list[FeatureMap]] = {}
    positives: dict[Key, list[float]] = {}
    damaged = []
    for cell in cells:
        for job in jobs_of([cell], range(MOST_SEEDS), runs, mapped=recipe.mapped, exactly=exactly):
            try:
                if job.evaluated:
                    precisions.add(job.config.precision)
                    evaluations.setdefault(_key(cell), []).append(Evaluation.read(job.folder.evaluation("last")))
                if not isinstance(cell.config.feature_loss, NoFeatureLoss) and job.folder.metrics.exists():
                    without = [float(row["under_anchors_without_positive"]) for row in job.folder.read_metrics()]
                    positives.setdefault(_key(cell), []).append(1 - sum(without) / len(without))
                if recipe.mapped and job.folder.map.exists():
                    maps.setdefault(_key(cell), []).append(FeatureMap.read(job.folder.map))
            except UserError as error:
                damaged.append(str(error))
            except (KeyError, ZeroDivisionError):
                damaged.append(f"{job.folder.metrics}: not the metrics of such a run")
    return Outcome(
        name=name,
        recipe=recipe,
        scale=scale,
        cells=cells,
        evaluations=evaluations,
        maps=maps,
        positives=positives,
        precisions=sorted(precisions),
        damaged=damaged,
    )


def mean_purity(maps: Sequence[FeatureMap], scope: Scope) -> Mean | None:
    """Return the mean over the seeds of the neighbours' purity in a scope, or None without a map."""
    purities = _purities(maps, scope)
    return mean_of_estimates(purities) if purities else None


def _purities(maps: Sequence[FeatureMap], scope: Scope) -> list[Sum]:
    """Return the neighbours' purity in a scope by each map."""
    name = {"overall": "overall", "well": "well-represented", "under": "under-represented"}[scope]
    found = [each["purity"] for map_ in maps for each in map_.separability if each["scope"] == name]
    return [Sum(each["value"], each["low"], each["high"]) for each in found]


def _weighted_mean(factor: float, estimates: Sequence[Sum], p: float) -> Sum:
    """Return the mean of estimates times a factor, with the interval that misses with p."""
    return weighted_sum([factor], [Sum(*mean_of_estimates(estimates, p=p)[:3])])


def _weighted_counts(
    factors: Sequence[float], correct: Sequence[Sequence[int]], totals: Sequence[int], p: float
) -> Sum:
    """Return `sum_of_counts` with the interval that misses with p."""
    return sum_of_counts(factors, correct, totals, p=p)


def _key(cell: Cell) -> Key:
    return cell.row, cell.column


def _place(value: PaperValue) -> tuple[str, str, Metric, Scope]:
    return value.row, value.column, value.metric, value.scope

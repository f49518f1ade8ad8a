"""The table of a grid of one's own: what varies, and mean ± standard deviation over the seeds of every accuracy."""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from srat.core.errors import UserError
from srat.core.words import counted, few
from srat.evaluation.comparison import SIGNIFICANT, leader
from srat.evaluation.record import Evaluation
from srat.grid.definition import Definition, Row, label_of
from srat.report.sheets import Sheet
from srat.report.wording import caveat
from srat.runs.comparing import EvaluatedRun, read_evaluated, under_same_attack
from srat.runs.folder import RunFolder
from srat.statistics.intervals import Mean, mean_of_counts
from srat.statistics.paired import holm

SCOPES = ("all", "common", "rare")
"""The classes that an accuracy may be of; common and rare ones where some classes have fewer images."""
Column = tuple[str, str]
"""A result by its name, and a scope."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GridRow:
    """A configuration of a grid, and what its runs have come to."""

    settings: Mapping[str, str]
    evaluations: Mapping[int, Evaluation]
    """By seed; at least one."""
    folders: Mapping[int, RunFolder]
    """Of the same seeds."""

    def classes(self, scope: str) -> Sequence[int]:
        """Return the classes of a scope."""
        one = next(iter(self.evaluations.values()))
        every = range(len(one.class_names))
        return {"all": every, "common": one.groups.well, "rare": one.groups.under}[scope]

    def mean(self, column: Column) -> Mean | None:
        """Return the mean over the seeds of an accuracy; None where it is not of every run, or of no class."""
        name, scope = column
        classes = self.classes(scope)
        if not classes or not all(name in each.results for each in self.evaluations.values()):
            return None
        counts = [each.results[name].counts for each in self.evaluations.values()]
        totals = {sum(each.total[c] for c in classes) for each in counts}
        if len(totals) > 1:  # of different test images: a mean would be of nothing
            return None
        return mean_of_counts([sum(each.correct[c] for c in classes) for each in counts], totals.pop())


@dataclass(frozen=True, kw_only=True, eq=False)
class GridOutcome:
    """What is there of a grid."""

    definition: Definition
    rows: Sequence[GridRow]
    title: str
    missing: Sequence[str] = ()
    """The runs that are not finished."""
    damaged: Sequence[str] = ()
    """What is there and cannot be read."""
    tested: Mapping[Column, Mapping[int, float]] = field(default_factory=dict)
    """By column, for each row that leads those that it can be compared with: p, corrected for all of these."""
    untested: Sequence[str] = ()
    """Why some rows are not compared."""

    @property
    def columns(self) -> list[Column]:
        """The accuracies that any row has."""
        names = dict.fromkeys(name for row in self.rows for each in row.evaluations.values() for name in each.results)
        columns = ((name, scope) for name in names for scope in SCOPES)
        return [column for column in columns if any(row.mean(column) is not None for row in self.rows)]

    @property
    def seeds(self) -> tuple[int, int]:
        """How many seeds a row has, at the least and at the most."""
        counts = [len(row.evaluations) for row in self.rows]
        return min(counts), max(counts)

    def is_best(self, row: int, column: Column) -> bool:
        """Return whether a row is above all others that it can be compared with, by more than chance explains."""
        return self.tested.get(column, {}).get(row, 1.0) < SIGNIFICANT


def collect_grid(folder: Path) -> GridOutcome:
    """Return what is there of a grid whose runs are in a folder.

    Args:
        folder: with a grid's file.

    Raises:
        UserError: if the file cannot be read, or no run is finished.
    """
    definition = Definition.read(folder)
    missing: list[str] = []
    damaged: list[str] = []
    rows = [row for each in definition.rows if (row := _row_of(each, folder, missing, damaged)) is not None]
    if not rows:
        why = f" ({damaged[0]})" if damaged else ""
        raise UserError(f"there is no finished run of the grid in '{folder}'{why}: '{definition.command}' makes them")
    return tested(
        GridOutcome(definition=definition, rows=rows, title=_title(folder, rows), missing=missing, damaged=damaged)
    )


def _row_of(row: Row, runs: Path, missing: list[str], damaged: list[str]) -> GridRow | None:
    """Return what is there of a configuration, None if no run is; note what is missing or damaged."""
    found: dict[int, Evaluation] = {}
    folders = row.folders(runs)
    for seed, folder in folders.items():
        path = folder.evaluation("last")
        try:
            if path.exists():
                found[seed] = Evaluation.read(path)
            else:
                missing.append(f"{label_of(row.settings)} seed {seed}")
        except UserError as error:
            damaged.append(str(error))
    there = {seed: folders[seed] for seed in found}
    return GridRow(settings=row.settings, evaluations=found, folders=there) if found else None


def _title(folder: Path, rows: Sequence[GridRow]) -> str:
    least, most = min(len(row.evaluations) for row in rows), max(len(row.evaluations) for row in rows)
    seeds = counted(most, "seed") if least == most else f"{least} to {most} seeds"
    return f"{folder.resolve().name}: {counted(len(rows), 'configuration')}, {seeds}"


def tested(outcome: GridOutcome) -> GridOutcome:
    """Return an outcome with what can be said of the best row of each column."""
    runs, untested = _examined(outcome.rows)
    found: list[tuple[Column, int, float]] = []
    for block in _blocks(runs):
        seeds = sorted(set.intersection(*(set(runs[row]) for row in block)))
        if not seeds:
            untested.append("the rows have no seed in common")
            continue
        for column in outcome.columns:
            found += _leads(outcome.rows, runs, block, seeds, column)
    by_column: dict[Column, dict[int, float]] = defaultdict(dict)
    for (column, row, _), p in zip(found, holm([p for _, _, p in found]), strict=True):
        by_column[column][row] = p
    return replace(outcome, tested=dict(by_column), untested=list(dict.fromkeys(untested)))


Examined = Mapping[int, Mapping[int, EvaluatedRun]]
"""By row and seed: a run, with what became of each image."""


def _examined(rows: Sequence[GridRow]) -> tuple[Examined, list[str]]:
    """Return the runs of which it is known what became of each image, and why others are not among them."""
    found: dict[int, dict[int, EvaluatedRun]] = defaultdict(dict)
    untested = []
    for number, row in enumerate(rows):
        for seed, folder in row.folders.items():
            try:
                found[number][seed] = read_evaluated(str(folder.path), "last", None)
            except UserError as error:
                untested.append(str(error))
    return found, untested


def _blocks(runs: Examined) -> Iterator[list[int]]:
    """Yield rows that can be compared, two at least: of the same test images, classes and rare classes."""
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for row, by_seed in runs.items():
        one = next(iter(by_seed.values()))
        same = all(each.examples.test == one.examples.test for each in by_seed.values())
        if same:
            groups = one.evaluation.groups
            key = (one.examples.test, one.examples.class_names, tuple(one.examples.labels.tolist()), groups.under)
            alike[key].append(row)
    yield from (block for block in alike.values() if len(block) > 1)


def _leads(
    rows: Sequence[GridRow], runs: Examined, block: Sequence[int], seeds: Sequence[int], column: Column
) -> Iterator[tuple[Column, int, float]]:
    """Yield the leading row of a column with its p, unless rows were not evaluated so, or under different attacks."""
    name, scope = column
    if not under_same_attack(name, [runs[row][seed].examples.results() for row in block for seed in seeds]):
        return
    labels = runs[block[0]][seeds[0]].examples.labels.numpy()
    chosen = np.isin(labels, list(rows[block[0]].classes(scope)))
    if not chosen.any():
        return
    survived: list[Bool[NDArray[np.bool_], "seeds images"]] = [
        np.stack([runs[row][seed].examples.survived_result(name).numpy()[chosen] for seed in seeds]) for row in block
    ]
    first = leader(survived)
    yield column, block[first.place], first.p


def sheet_of(outcome: GridOutcome) -> Sheet:
    """Return the table of a grid."""
    varies, columns = outcome.definition.varies or ["run"], outcome.columns
    cells = [[row.mean(column) for column in columns] for row in outcome.rows]
    keys = [[row.settings.get(name, "") for name in varies] for row in outcome.rows]
    best = {
        (number, len(varies) + place)
        for number in range(len(outcome.rows))
        for place, column in enumerate(columns)
        if outcome.is_best(number, column)
    }
    return Sheet(
        title=outcome.title,
        headings=[*varies, *(f"{name}, {scope}" for name, scope in columns)],
        rows=[[*key, *map(mean_text, means)] for key, means in zip(keys, cells, strict=True)],
        note=_note(outcome),
        keys=len(varies),
        best=frozenset(best),
        records=list(_records(outcome)),
    )


def mean_text(mean: Mean | None) -> str:
    """Return a mean over seeds as "61.2 ± 0.8", in per cent; of one seed without a deviation; a dash for none."""
    if mean is None or math.isnan(mean.accuracy):
        return "–"
    return f"{100 * mean.accuracy:.1f}" + ("" if math.isnan(mean.spread) else f" ± {100 * mean.spread:.1f}")


def _records(outcome: GridOutcome) -> Iterator[dict[str, str | int | float | bool | None]]:
    for number, row in enumerate(outcome.rows):
        for column in outcome.columns:
            mean = row.mean(column)
            if mean is not None:
                yield {
                    **row.settings,
                    "result": column[0],
                    "classes": column[1],
                    "seeds": len(row.evaluations),
                    **{
                        name: None if math.isnan(value) else round(100 * value, 4)
                        for name, value in (
                            ("percent", mean.accuracy),
                            ("sd", mean.spread),
                            ("low", mean.low),
                            ("high", mean.high),
                        )
                    },
                    "best": outcome.is_best(number, column),
                }


def _note(outcome: GridOutcome) -> str:
    """Return what the numbers are, and what bold ones say."""
    least, most = outcome.seeds
    said = ["In per cent" + (": mean ± standard deviation over the seeds." if most > 1 else ", of one seed each.")]
    if count := sum(map(len, outcome.tested.values())):
        test = "paired on the same images and seeds, as in srat compare" if most > 1 else "paired on the same images"
        said.append(
            f"Bold: above every other row, {test}, with p < {SIGNIFICANT:g}, corrected for all {count} columns (Holm)."
        )
        if not any(outcome.is_best(row, column) for column, of_rows in outcome.tested.items() for row in of_rows):
            said[-1] = f"No best value is told from the others ({test}; Holm's correction for {count} columns)."
        said.append(caveat(least))
    return " ".join(said)


def notes_of(outcome: GridOutcome) -> list[str]:
    """Return what else is to be said of a grid, a line each."""
    said = [f"left out: {text}" for text in outcome.damaged]
    if outcome.missing:
        text = f"{counted(len(outcome.missing), 'run is', 'runs are')} missing ({few(outcome.missing)})"
        said.append(f"{text}: '{outcome.definition.command}' makes them")
    return said + [f"not compared image by image: {text}" for text in outcome.untested]

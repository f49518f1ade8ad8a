"""From a recipe to runs in folders, and what is left to do of each: all of it is read from the folders."""

import fnmatch
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from srat.attacks.named import named
from srat.config.config import Config
from srat.core.errors import require
from srat.core.files import count_lines, write_atomically
from srat.evaluation.feature_map import FeatureMap
from srat.evaluation.record import CLEAN, Evaluation
from srat.recipes.base import Cell, Recipe
from srat.runs.folder import RunFolder
from srat.runtime.precision import PrecisionName

_ALIKE: tuple[PrecisionName, ...] = ("fp32", "bf16")
"""Precisions between which runs differ less than between seeds (docs/reproduction.md): some CPUs have one of them."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run of a grid."""

    label: str
    """What people call it: row, column, seed."""
    config: Config
    folder: RunFolder
    """Named by the configuration's id, so that recipes share their runs."""
    mapped: bool
    """Whether its features are to be mapped."""
    attacks: tuple[str, ...] = ()
    """What it is evaluated under beside its configuration's attack, by its words."""

    @property
    def evaluated(self) -> bool:
        """Whether it has the results that tables show; of a run that has them, the weights may be gone."""
        if self.folder.evaluation("last").exists():
            self.folder.check(self.config)
        return {CLEAN, self.config.evaluation.label} <= set(self._results())

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.evaluated and not self._unmade

    def commands(self, device: str) -> list[list[str]]:
        """Return the commands, as words after ``srat``, that are left to do."""
        unmade = self._unmade
        # What is made of weights that are gone has them trained again.
        needed = not self.evaluated or (bool(unmade) and not self.folder.trained)
        train = [["train", "--out", str(self.folder.path)]] * needed
        return [[*words, "--device", device] for words in (*train, *unmade)]

    @property
    def _unmade(self) -> list[list[str]]:
        """The commands, as words, for what is wanted of its weights beside the results that tables show."""
        out, there = str(self.folder.path), self._results()
        missing = [word for word in self.attacks if self._label(word) not in there]
        attacked = [["evaluate", out, *(part for word in missing for part in ("--attack", word))]] * bool(missing)
        return [*attacked, *[["separability", out, "--map"]] * (self.mapped and not self._has_map)]

    def _label(self, word: str) -> str:
        return named(word, threat=self.config.evaluation).label

    def _results(self) -> Collection[str]:
        path = self.folder.evaluation("last")
        return Evaluation.read(path).results.keys() if path.exists() else ()

    @property
    def _has_map(self) -> bool:
        return self.folder.map.exists() and bool(FeatureMap.read(self.folder.map).points)

    def prepare(self) -> None:
        """Write the configuration, so that the folder is that of a run which has not begun.

        Raises:
            UserError: if the folder holds another run.
        """
        self.folder.check(self.config)
        there = Config.read(self.folder.config, opening=True) if self.folder.exists else None
        if there != self.config:  # but for where its data lie
            with self.folder.locked():
                write_atomically(self.folder.config, self.config.to_json())

    @property
    def epochs_done(self) -> int:
        """How many epochs have ended."""
        return max(0, count_lines(self.folder.metrics) - 1)


def planned(recipe: Recipe, base: Config, filters: Sequence[str] = ()) -> list[Cell]:
    """Return a recipe's cells: those of which each filter matches the row, the column, or a word of them.

    Args:
        recipe: the recipe.
        base: what its runs start from.
        filters: patterns, such as "srat-*".

    Raises:
        UserError: if no cell matches.
    """
    cells = recipe.cells(base)
    words = {id(cell): {cell.row, cell.column, *cell.row.split(), *cell.column.split()} for cell in cells}
    chosen = [cell for cell in cells if all(fnmatch.filter(words[id(cell)], pattern) for pattern in filters)]
    there = ", ".join(dict.fromkeys(name for cell in cells for name in (cell.row, cell.column)))
    require(bool(chosen), f"`filter` {' '.join(filters)}: no run has all of that; there are: {there}")
    return chosen


def jobs_of(
    cells: Sequence[Cell],
    seeds: Sequence[int],
    runs: Path,
    *,
    mapped: bool,
    attacks: Sequence[str] = (),
    exactly: bool = False,
) -> list[Job]:
    """Return the runs of cells, seed by seed, so that what ends early is whole for fewer seeds; each run once.

    Args:
        cells: the cells.
        seeds: the seeds.
        runs: the folder of all runs.
        mapped: whether their features are to be mapped.
        attacks: what they are evaluated under beside their configurations' attacks, by its words.
        exactly: whether a finished run in bf16 is none in fp32, nor the other way round.
    """
    jobs: dict[str, Job] = {}
    for seed in seeds:
        for cell in cells:
            wanted = replace(cell.config, seed=seed)
            config = wanted if exactly else _standing_for(wanted, runs)
            name = config.id
            jobs.setdefault(
                name,
                Job(
                    label=" ".join(filter(None, (cell.row, cell.column, f"seed {seed}"))),
                    config=config,
                    folder=RunFolder(runs / name),
                    mapped=mapped,
                    attacks=tuple(attacks),
                ),
            )
    return list(jobs.values())


def _standing_for(config: Config, runs: Path) -> Config:
    """Return a configuration, or its like in another precision if that run is finished and its own is not."""
    alike = (replace(config, precision=name) for name in _ALIKE if name != config.precision)
    return next((each for each in (config, *alike) if RunFolder(runs / each.id).evaluation("last").exists()), config)

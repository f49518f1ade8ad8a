"""A grid of one's own: configurations, what they vary, and the file that keeps this beside their runs."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from srat.config.config import Config
from srat.config.serialization import id_of
from srat.core.errors import UserError, require
from srat.core.files import write_atomically
from srat.core.structuring import read_structured
from srat.core.words import counted, few
from srat.grid.plan import Job, jobs_of
from srat.recipes.base import Cell
from srat.runs.folder import RunFolder

FILE = "grid.json"
"""Name of the file in the folder of the runs."""
LARGEST_FILE = 1 << 24
"""Bytes of it that are read at the most."""
MOST = 1_000
"""Configurations of a grid."""
_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One of a grid's configurations, but for its seed."""

    settings: dict[str, str]
    """What it varies, and the value here, both as people wrote them."""
    config: Config

    @property
    def label(self) -> str:
        """What people call it: "method drcb-ce, lr 0.1"."""
        return label_of(self.settings)


def label_of(settings: Mapping[str, str]) -> str:
    """Return what people call a configuration of a grid, from the settings that vary."""
    return ", ".join(f"{name} {value}".strip() for name, value in settings.items()) or "the run"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the file says of one of the configurations."""

    settings: dict[str, str]
    id: str
    """Of the configuration with seed 0."""
    runs: dict[str, str]
    """The folder of each seed's run."""

    def __post_init__(self) -> None:
        for name in (self.id, *self.runs.values()):
            require(_ID.fullmatch(name) is not None, f"expected an id of twelve digits, got '{name}'")
        for seed in self.runs:
            require(seed.isdecimal(), f"expected a seed, got '{seed}'")

    def folders(self, runs: Path) -> dict[int, RunFolder]:
        """Return the folder of each seed's run, the seeds in order."""
        return {seed: RunFolder(runs / self.runs[str(seed)]) for seed in sorted(map(int, self.runs))}


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A grid as its file keeps it: enough to find its runs, and to call them by what varies."""

    command: str
    """What trains what is missing."""
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        require(len(self.rows) > 0, "expected at least one configuration")
        alike = all(list(row.settings) == self.varies for row in self.rows)
        require(alike, "expected the same settings of all configurations")

    @property
    def varies(self) -> list[str]:
        """The settings that vary."""
        return list(self.rows[0].settings)

    @classmethod
    def read(cls, folder: Path) -> "Definition":
        """Return the grid whose runs are in a folder.

        Raises:
            UserError: if the file cannot be read.
        """
        return read_structured(folder / FILE, cls, limit=LARGEST_FILE, what="grid")

    def write(self, folder: Path) -> None:
        """Write the file; the folder is made."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / FILE, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")

    def beside(self, folder: Path) -> "Definition":
        """Return the grid with the runs of other seeds that a folder knows of its configurations already.

        Raises:
            UserError: if the folder is of a grid with configurations that this one has not.
        """
        if not (folder / FILE).exists():
            return self
        known = {row.id: row for row in Definition.read(folder).rows}
        lost = [label_of(row.settings) for row in known.values() if row.id not in {own.id for own in self.rows}]
        said = f"`runs`: '{folder}' has a grid with {counted(len(lost), 'configuration')} more ({few(lost)})"
        require(not lost, f"{said}; choose another folder, or name these, too")
        rows = [replace(row, runs=known[row.id].runs | row.runs) if row.id in known else row for row in self.rows]
        return replace(self, rows=tuple(rows))


def is_grid(folder: Path) -> bool:
    """Return whether a folder has the runs of a grid of one's own."""
    return (folder / FILE).is_file()


def check_points(points: Sequence[Point]) -> None:
    """Raise ``UserError`` if two configurations are the same, or there are too many."""
    require(len(points) <= MOST, f"expected at most {MOST:,} configurations, got {len(points):,}")
    seen: dict[str, str] = {}
    for point in points:
        name = replace(point.config, seed=0).id
        if name in seen:
            raise UserError(f"'{seen[name]}' and '{point.label}' are the same configuration; leave one of them out")
        seen[name] = point.label


def jobs_of_points(points: Sequence[Point], seeds: Sequence[int], runs: Path, attacks: Sequence[str]) -> list[Job]:
    """Return the runs of a grid, seed by seed.

    Args:
        points: the configurations.
        seeds: the seeds.
        runs: the folder of all runs.
        attacks: what they are evaluated under beside their configurations' attacks, by its words.
    """
    cells = [Cell(row=point.label, column="", config=point.config) for point in points]
    return jobs_of(cells, seeds, runs, mapped=False, attacks=attacks, exactly=True)


def defined(points: Sequence[Point], seeds: Sequence[int], command: str) -> Definition:
    """Return what the file is to say of a grid.

    Args:
        points: the configurations.
        seeds: of their runs.
        command: what trains them.
    """
    rows = [
        Row(
            settings=point.settings,
            id=replace(point.config, seed=0).id,
            runs={str(seed): replace(point.config, seed=seed).id for seed in seeds},
        )
        for point in points
    ]
    return Definition(command=command, rows=tuple(rows))


def default_folder(points: Sequence[Point]) -> Path:
    """Return the folder of a grid's runs unless one is named: after its data, what varies, and all of it."""
    digest = id_of(sorted(replace(point.config, seed=0).id for point in points))[:6]
    words = [points[0].config.data.title, *points[0].settings, digest]
    return Path("runs") / "-".join(re.sub(r"[^\w.]+", "-", word) for word in words)

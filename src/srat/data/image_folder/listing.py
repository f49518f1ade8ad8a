"""Which images of a folder a table names."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath

from srat.core.errors import require
from srat.core.words import counted, few
from srat.data.image_folder.naming import normal
from srat.data.image_folder.scan import Branch
from srat.data.image_folder.table import Table
from srat.data.reading.formats import SUFFIXES

LOOKED_AT, LINES = 1 << 16, 50
"""Bytes and lines at the beginning of a file that are looked at for names of images."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An image that a table names."""

    path: Path
    label: str
    part: str
    """What the table says of its part; "" if nothing."""
    row: Mapping[str, str] = field(default_factory=dict)
    """All that it says of it, by column; of several rows that in which they agree."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a table says of a folder's images."""

    images: tuple[Listed, ...]
    """Those with a class, each once."""
    unlabelled: tuple[Path, ...] = ()
    """Those that it names without a class."""
    notes: tuple[str, ...] = ()
    """What is to be said of its rows."""


@dataclass(kw_only=True)
class _Rows:
    """What has been read of a table's rows."""

    images: dict[Path, Listed] = field(default_factory=dict)
    unlabelled: dict[str, list[Path]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    respelled: list[str] = field(default_factory=list)


def listed(table: Table, branch: Branch, first: Branch | None = None) -> Listing:
    """Return the images that a table names.

    A name is that of a file in the folder or below it, with or without folders and ending; in other letters (A.PNG for
    a.png) where no file is spelled like it.

    Args:
        table: the table.
        branch: the folder that it is about.
        first: a folder in it that is looked through before all of it.

    Raises:
        UserError: if a name is that of several files, or an image has several classes.
    """
    indices = [Index(each) for each in (first, branch) if each is not None]
    rows = _Rows()
    for row in table.rows:
        _take(rows, table, row, indices)
    return Listing(
        images=tuple(rows.images.values()),
        unlabelled=tuple(path for paths in rows.unlabelled.values() for path in paths),
        notes=tuple(_notes(table, rows)),
    )


def names_any(table: Table, branch: Branch) -> bool:
    """Return whether a table names any image of a folder."""
    index = Index(branch)
    return any(index.find(table.name(row)) for row in table.rows)


def is_image_of(branch: Branch) -> Callable[[str], bool]:
    """Return what says whether a text is the name of an image: it ends as one, or there is one of that name."""
    index = cache(lambda: Index(branch))
    return lambda name: PurePosixPath(name).suffix.lower() in SUFFIXES or bool(index().find(name))


def mentions_images(path: Path, branch: Branch) -> bool:
    """Return whether a text file begins with names of a folder's images, whatever stands around them."""
    try:
        with path.open("rb") as file:
            lines = file.read(LOOKED_AT).decode("utf-8", "replace").splitlines()[:LINES]
    except OSError:
        return False
    index = Index(branch)
    words = [each for line in lines if (each := [word for word in re.split(r"[\s,;:\"'\[\]{}]+", line) if word])]
    names = [PurePosixPath(word.replace("\\", "/")).name for each in words for word in each]
    ended = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    first = [each[0] for each in words if index.find(each[0])]
    return any(map(index.find, ended)) or 2 * len(first) > len(words)


Spelling = Callable[[str], str]
ByName = defaultdict[str, list[Path]]


class Index:
    """The images of a folder by all that a table may call them."""

    def __init__(self, branch: Branch) -> None:
        self._branch = branch
        self._known: dict[Spelling, tuple[ByName, ByName]] = {}
        self._roots = (branch.path.absolute().as_posix(), branch.path.resolve().as_posix())

    def find(self, name: str) -> list[Path]:
        """Return the images of a name: of a file, or of a path that theirs ends with; both with or without ending."""
        plain = self._below(PurePosixPath(name.replace("\\", "/")))
        for spelled in (_as_written, _respelled):
            folders = tuple(map(spelled, plain.parent.parts))
            for by_name in self._images(spelled):
                above = {path: self._above(path, spelled) for path in by_name.get(spelled(plain.name), ())}
                if found := [path for path in above if above[path][-len(folders) :] == folders or not folders]:
                    return [path for path in found if above[path] == folders] or found
        return []

    def _images(self, spelled: Spelling) -> tuple[ByName, ByName]:
        """Return the images by their names, and by their names without ending."""
        if spelled not in self._known:
            self._known[spelled] = (defaultdict(list), defaultdict(list))
            for path in self._branch.all_images:
                for by_name, name in zip(self._known[spelled], (path.name, path.stem), strict=True):
                    by_name[spelled(name)].append(path)
        return self._known[spelled]

    def _below(self, path: PurePosixPath) -> PurePosixPath:
        """Return a path as it is below the folder, if it is the whole path of something there."""
        roots = self._roots if path.is_absolute() else ()
        return next((path.relative_to(root) for root in roots if path.is_relative_to(root)), path)

    def _above(self, path: Path, spelled: Spelling) -> tuple[str, ...]:
        return tuple(map(spelled, path.relative_to(self._branch.path).parent.parts))


def _take(rows: _Rows, table: Table, row: Mapping[str, str], indices: Sequence[Index]) -> None:
    name, label = table.name(row), row.get(table.label, "").strip()
    paths = next((paths for index in indices if (paths := index.find(name))), [])
    if not paths:
        rows.lost.append(name)
    elif not label:
        rows.unlabelled[name] = paths
    else:
        named = ", ".join(map(str, paths[:3]))
        require(len(paths) == 1, f"{table.path}: '{name}' is the name of several images: {named}")
        _add(rows, table, name, Listed(path=paths[0], label=label, part=table.part_said(row), row=row))


def _add(rows: _Rows, table: Table, name: str, image: Listed) -> None:
    before = rows.images.setdefault(image.path, image)
    classes = f"{table.path}: '{name}' is of class '{before.label}' and of '{image.label}'"
    require(before.label == image.label, classes)
    parts = f"{table.path}: '{name}' is in the parts '{before.part}' and '{image.part}'"
    require(before.part == image.part, parts)
    if before.row != image.row:
        agreed = dict(before.row.items() & image.row.items())
        rows.images[image.path] = replace(before, row=agreed)
    if PurePosixPath(name.replace("\\", "/")).name not in (image.path.name, image.path.stem):
        rows.respelled.append(f"{name} is {image.path.name}")


def _notes(table: Table, rows: _Rows) -> list[str]:
    headless = [] if table.headed else ["no header; the first column is taken as file names, the second as classes"]
    said = (
        ([name or "no name" for name in rows.lost], "row names no image here", "rows name no image here"),
        ([*rows.unlabelled], "row says no class", "rows say no class"),
        (rows.respelled, "row spells a file's name differently", "rows spell files' names differently"),
    )
    counts = [f"{counted(len(names), one, several)} ({few(names)})" for names, one, several in said if names]
    return [f"{table.path.name}: {each}" for each in (*headless, *_unread_labels(table), *counts)]


def _unread_labels(table: Table) -> list[str]:
    """Return what is to be said of columns that could be the classes, and are not read."""
    others = ", ".join(table.other_labels)
    ways = "`data.label_column` takes another"
    return [f"the column {table.label} says the class; not used: {others} ({ways})"] if others else []


def _as_written(name: str) -> str:
    return name


def _respelled(name: str) -> str:
    """Return a name without what systems change of its letters: capitals, and the form of accents."""
    return normal(name).casefold()

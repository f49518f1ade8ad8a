"""Tables that name images and their classes: labels.csv, train.csv, Hugging Face's metadata.csv."""

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from srat.data.scan import Branch
from srat.errors import UserError, require
from srat.files import read_bounded
from srat.words import counted, few

LARGEST_TABLE = 1 << 28
"""Bytes of a table that are read at the most."""
FILE_COLUMNS = (
    "filename", "file", "filepath", "imagepath", "path", "imagename", "image", "imagefile", "img", "imageid", "id",
    "name",
)  # fmt: skip
"""What columns of file names are called, in small letters without _ and the like; the first that is there is taken."""
LABEL_COLUMNS = (
    "label", "labels", "classname", "class", "classid", "category", "target", "diagnosis", "dx", "species", "breed", "y"
)  # fmt: skip
"""What columns of classes are called, likewise."""
PART_COLUMNS = ("split", "subset", "part", "set", "fold")
"""What columns are called that say whether an image is of the training or of the test."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a table are wanted; found by their names where that is not said."""

    file: str | None = None
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that names images and their classes."""

    path: Path
    rows: Sequence[Mapping[str, str]]
    file: str
    """The column of file names."""
    label: str
    """The column of classes."""
    part: str | None
    """The column of parts, if there is one."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An image that a table names."""

    path: Path
    label: str
    part: str
    """What the table says of its part; "" if nothing."""


def find_table(path: Path, columns: Columns) -> Table | None:
    """Return the table in a file, if it has columns of file names and of classes.

    Raises:
        UserError: if it cannot be read, or a column that is wanted by name is not there.
    """
    rows = _rows(path)
    names = [name for name in (rows[0] if rows else ()) if name]
    for wanted in (columns.file, columns.label):
        there = ", ".join(names) or "none"
        require(wanted is None or wanted in names, f"{path}: there is no column '{wanted}'; there are: {there}")
    file, label = columns.file or _named(names, FILE_COLUMNS), columns.label or _named(names, LABEL_COLUMNS)
    if file is None or label is None or file == label:
        return None
    return Table(path=path, rows=rows, file=file, label=label, part=_named(names, PART_COLUMNS))


def listed(table: Table, branch: Branch, first: Branch | None = None) -> tuple[list[Listed], list[str]]:
    """Return the images that a table names, each once, and what is to be said of its other rows.

    A name is that of a file in the folder or below it, with or without folders and ending.

    Args:
        table: the table.
        branch: the folder that it is about.
        first: a folder in it that is looked through before all of it.

    Raises:
        UserError: if a name is that of several files, or an image has several classes.
    """
    indices = [_Index(each) for each in (first, branch) if each is not None]
    found: dict[Path, Listed] = {}
    lost, unlabelled = [], []
    for row in table.rows:
        name, label = (row.get(table.file) or "").strip(), (row.get(table.label) or "").strip()
        paths = next((paths for index in indices if (paths := index.find(name))), [])
        if not paths:
            lost.append(name)
        elif not label:
            unlabelled.append(name)
        else:
            path, *others = paths
            several = f"{table.path}: '{name}' is the name of several images: {', '.join(map(str, paths[:3]))}"
            require(not others, several)
            before = found.setdefault(
                path, Listed(path=path, label=label, part=(row.get(table.part or "") or "").strip())
            )
            require(before.label == label, f"{table.path}: '{name}' is of class '{before.label}' and of '{label}'")
            part = (row.get(table.part or "") or "").strip()
            require(before.part == part, f"{table.path}: '{name}' is in the parts '{before.part}' and '{part}'")
    notes = [
        f"{table.path.name}: {counted(len(names), *what)} ({few(names)})"
        for names, what in (
            (lost, ("row names no image here", "rows name no image here")),
            (unlabelled, ("row says no class", "rows say no class")),
        )
        if names
    ]
    return list(found.values()), notes


def names_any(table: Table, branch: Branch) -> bool:
    """Return whether a table names any image of a folder."""
    index = _Index(branch)
    return any(index.find((row.get(table.file) or "").strip()) for row in table.rows)


class _Index:
    """The images of a folder by all that a table may call them."""

    def __init__(self, branch: Branch) -> None:
        self._root = branch.path
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in branch.all_images:
            self._by_name[path.name].append(path)
            self._by_stem[path.stem].append(path)

    def find(self, name: str) -> list[Path]:
        """Return the images of a name: of a file, or of a path that theirs ends with; both with or without ending."""
        plain = PurePosixPath(name.replace("\\", "/"))
        folders = plain.parent.parts
        for paths in (self._by_name.get(plain.name, []), self._by_stem.get(plain.name, [])):
            found = [path for path in paths if self._above(path)[len(self._above(path)) - len(folders) :] == folders]
            if found:
                whole = [path for path in found if self._above(path) == folders]
                return whole or found
        return []

    def _above(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self._root).parent.parts


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = read_bounded(path, LARGEST_TABLE).decode("utf-8-sig")
        head = text.partition("\n")[0]
        delimiter = max("\t" if path.suffix.lower() == ".tsv" else ",", ";", "\t", key=head.count)
        reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a readable table ({error})") from error
    twice = [name for name, times in Counter(reader.fieldnames or ()).items() if times > 1 and name]
    require(not twice, f"{path}: expected each column once, got '{''.join(twice[:1])}' again")
    longer = next((number for number, row in enumerate(rows, start=2) if None in row), None)
    told = f"{path}: line {longer} has more fields than there are columns; a name with '{delimiter}' in it needs quotes"
    require(longer is None, told)
    return rows


def _named(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    plain = {re.sub(r"[\W_]", "", name).casefold(): name for name in reversed(names)}
    return next((plain[each] for each in wanted if each in plain), None)

"""Tables that name images and their classes: labels.csv, train.csv, Hugging Face's metadata.csv."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from srat.core.errors import UserError, require
from srat.core.files import read_bounded
from srat.core.words import few
from srat.data.image_folder.naming import part_of, words_of
from srat.data.record import Part

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
PART_COLUMNS = (
    "split", "datasplit", "splitname", "subset", "partition", "part", "set", "usage", "phase", "fold", "istrain",
    "istraining", "istest", "isvalid", "isval",
)  # fmt: skip
"""What columns are called that say whether an image is of the training or of the test; others do by what is in them."""
SUBMISSION = "submission"
"""A word in the names of tables that are to be filled in with predictions: their classes are placeholders."""
Row = tuple[int, list[str]]
"""The number of a line, from 1, and its cells."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a table are wanted; found by their names where that is not said."""

    file: str | None = None
    label: str | None = None

    @property
    def named(self) -> bool:
        """Whether any is wanted by its name."""
        return self.file is not None or self.label is not None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that names images and their classes."""

    path: Path
    rows: Sequence[Mapping[str, str]]
    file: str
    """The column of file names."""
    label: str
    """The column of classes."""
    part: str | None = None
    """The column of parts, if there is one."""
    headed: bool = True
    """Whether its first line names the columns."""
    other_labels: tuple[str, ...] = ()
    """More columns that are called as those of classes are, and are not read."""

    def name(self, row: Mapping[str, str]) -> str:
        """Return what a row calls its image."""
        return row.get(self.file, "").strip()

    def part_said(self, row: Mapping[str, str]) -> str:
        """Return what a row says of its image's part; "" if nothing."""
        return "" if self.part is None else row.get(self.part, "").strip()

    @property
    def names_nothing(self) -> str:
        """What is said of it where it names no image of its folder."""
        first = next((name for row in self.rows if (name := self.name(row))), "")
        return f"{self.path.name} names no image here" + (f" (its first is '{first}')" if first else ": it has no rows")


def find_table(path: Path, columns: Columns, is_image: Callable[[str], bool]) -> Table | None:
    """Return the table in a file, if it can be read and has columns of file names and of classes.

    A table of two columns needs no header if its first line, and most others, begin with the name of an image.

    Args:
        path: the file.
        columns: which are wanted.
        is_image: whether a text is the name of an image.

    Raises:
        UserError: if a column is there twice, or a line is longer than the first.
    """
    try:
        lines = [] if is_submission(path) else _lines(path)
    except UserError:
        return None
    head = lines[0][1] if lines else []
    if any(_absent(columns, head)):
        return None
    file, label = columns.file or _named(head, FILE_COLUMNS), columns.label or _named(head, LABEL_COLUMNS)
    if file is None or label is None or file == label:
        return None if columns.named else _headless(path, lines, is_image)
    _require_once(path, head)
    rows = _rows(path, head, lines[1:])
    others = [name for name in head if name not in (file, label)]
    part = _part_column(others, rows)
    unread = () if columns.label else tuple(each for each in others if each != part and _named([each], LABEL_COLUMNS))
    return Table(path=path, rows=rows, file=file, label=label, part=part, other_labels=unread)


def is_submission(path: Path) -> bool:
    """Return whether a table is a form for predictions, by its name: sample_submission.csv."""
    return SUBMISSION in words_of(path.stem)


def _headless(path: Path, lines: Sequence[Row], is_image: Callable[[str], bool]) -> Table | None:
    if not lines or len(lines[0][1]) != 2:
        return None
    named = [is_image(cells[0].strip()) for _, cells in lines]
    if not named[0] or 2 * sum(named) <= len(named):
        return None
    return Table(path=path, rows=_rows(path, ["1", "2"], lines), file="1", label="2", headed=False)


def _part_column(names: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str | None:
    """Return the column of parts: one in which several parts are said, and nothing else, or one that is called so."""
    by_content = (name for name in names if _says_parts(row.get(name, "").strip() for row in rows))
    return next(by_content, None) or _named(names, PART_COLUMNS)


def _says_parts(values: Iterable[str]) -> bool:
    """Return whether texts are names of parts, of several of them; empty ones are passed over."""
    parts: dict[str, Part] = {}
    for value in values:
        if value and value not in parts:
            if (part := part_of(value)) is None:
                return False
            parts[value] = part
    return len(set(parts.values())) > 1


def shortcoming(path: Path) -> str:
    """Return why a file's table does not say the classes; "" if it has the columns for it."""
    if is_submission(path):
        return "form for predictions, going by its name"
    try:
        lines = _lines(path)
    except UserError as error:
        return f"table that cannot be read ({str(error).removeprefix(f'{path}: ')})"
    if not lines:
        return "table without a line"
    head = lines[0][1]
    file, label = _named(head, FILE_COLUMNS), _named(head, LABEL_COLUMNS)
    if label is None and (flags := _flags(lines)):
        return f"table with columns of 0 and 1 ({few(flags)}), where one column of classes is expected"
    if label is None and file is None:
        return f"table without columns of file names and classes (its first line: {few(head)})"
    lacking = "file names" if file is None else "classes" if label is None else ""
    return f"table without a column of {lacking} (its columns: {few(head)})" if lacking else ""


def lacking(path: Path, columns: Columns) -> str:
    """Return which of the columns that are wanted by name a file's table lacks; "" if none, or it cannot be read."""
    try:
        lines = _lines(path)
    except UserError:
        return ""
    head = lines[0][1] if lines else []
    wanted = " and no column ".join(f"'{name}'" for name in _absent(columns, head))
    there = ", ".join(name for name in head if name) or "none"
    return f"{path.name} has no column {wanted}; there are: {there}" if wanted else ""


def _absent(columns: Columns, head: Sequence[str]) -> list[str]:
    return [name for name in (columns.file, columns.label) if name is not None and name not in head]


def _require_once(path: Path, head: Sequence[str]) -> None:
    twice = [name for name, times in Counter(head).items() if times > 1 and name]
    require(not twice, f"{path}: expected each column once, got '{''.join(twice[:1])}' again")


def _flags(lines: Sequence[Row]) -> list[str]:
    """Return the columns that hold 0 or 1 in each row, if they are several: classes written as one column each."""
    head, rows = lines[0][1], [cells for _, cells in lines[1:]]
    binary = [
        name
        for place, name in enumerate(head)
        if rows and all(place < len(cells) and cells[place].strip() in {"0", "1", "0.0", "1.0"} for cells in rows)
    ]
    return binary if len(binary) > 1 else []


def _rows(path: Path, head: Sequence[str], lines: Sequence[Row]) -> list[dict[str, str]]:
    longer = next((number for number, cells in lines if len(cells) > len(head)), None)
    require(
        longer is None,
        f"{path}: line {longer} has more fields than there are columns; a name with a separator in it needs quotes",
    )
    return [dict(zip(head, cells, strict=False)) for _, cells in lines]


def _lines(path: Path) -> list[Row]:
    """Return the lines of a table that are not empty, the header first."""
    text = _text(path)
    head = next((line for line in text.split("\n") if line.strip()), "")
    separator = max("\t" if path.suffix.lower() == ".tsv" else ",", ";", "\t", key=head.count)
    try:
        reader = csv.reader(text.split("\n"), delimiter=separator)
        return [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise UserError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    content = read_bounded(path, LARGEST_TABLE)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start:,}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _named(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    plain = {re.sub(r"[\W_]", "", name).casefold(): name for name in reversed(names)}
    return next((plain[each] for each in wanted if each in plain), None)

"""Everything that lies in a folder: images, tables, and what is passed over, with the reason."""

import errno
import os
import shlex
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from srat.core.errors import UserError
from srat.core.words import counted, few
from srat.data.reading.formats import SUFFIXES, is_image, start_of, why_undecoded

TABLES = frozenset({".csv", ".tsv"})
"""Endings of files that may name images and their classes."""
HIDDEN = frozenset(
    {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information"}
)
"""Names, in small letters, that systems write for themselves; those that begin with a dot are hidden, too."""
OTHERS = {
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"), "archive that is not unpacked"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "spreadsheet, which is read only as .csv"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v"), "video"),
}
"""Files that may hold images or say classes, and are not read, by their endings."""
MOST_LINKS = 8
"""Links to folders that are followed one within the other."""
REASONS = 12
"""Reasons that are said, the most frequent first, …"""
BRIEF = 4
"""… and those in a single line."""
Kind = Literal["hidden", "foreign", "unreadable", "unused"]
"""What is not read: files of the system's; of other kinds; perhaps images, but they cannot be read; not needed."""


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A file that is not read, and why."""

    path: Path
    kind: Kind
    why: str
    """In a few words, such as "hidden"."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A folder, as it lies there."""

    path: Path
    images: tuple[Path, ...] = ()
    """The images directly in it."""
    tables: tuple[Path, ...] = ()
    """The tables directly in it."""
    folders: tuple["Branch", ...] = ()
    """The folders in it, those that links lead to among them."""
    passed: tuple[Passed, ...] = ()
    """What is passed over of what lies directly in it; of a hidden folder all that is inside."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.path.name

    def walk(self) -> Iterator["Branch"]:
        """Yield this folder and all below it."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    @cached_property
    def all_images(self) -> tuple[Path, ...]:
        """The images in it and in all folders below it, in the order of their paths."""
        return tuple(sorted(path for branch in self.walk() for path in branch.images))

    @property
    def all_tables(self) -> list[Path]:
        """The tables in it and in all folders below it."""
        return [path for branch in self.walk() for path in branch.tables]

    @property
    def all_passed(self) -> list[Passed]:
        """What is passed over in it and in all folders below it."""
        return [each for branch in self.walk() for each in branch.passed]


def scan(folder: Path) -> Branch:
    """Return what lies in a folder, at every depth; links to folders are followed, but not round in circles.

    Raises:
        UserError: if it cannot be read; folders in it that cannot are among what is passed over.
    """
    try:
        around = [parent.stat() for parent in folder.resolve().parents]
        os.scandir(folder).close()
    except OSError as error:
        raise UserError(f"{folder}: the folder cannot be read ({error.strerror})") from error
    return _scanned(folder, above=tuple((each.st_dev, each.st_ino) for each in around), links=0)


def told(passed: Sequence[Passed], read: int, root: Path) -> list[str]:
    """Return what is said of files that are not read: how many of how many, and then each reason with its files.

    Args:
        passed: the files.
        read: how many are read.
        root: the folder that their names are shortened by.
    """
    if not passed:
        return []
    of = f"of {counted(read + len(passed), 'file', 'files')}"
    lines = [counted(len(passed), f"{of} is not read", f"{of} are not read")]
    kinds: dict[str, list[Path]] = defaultdict(list)
    for each in passed:
        kinds[each.why].append(each.path)
    ranked = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    for why, paths in ranked[:REASONS]:
        lines.append(f"{why}: {len(paths):,} ({few([_below(path, root) for path in paths])})")
    if rest := sum(len(paths) for _, paths in ranked[REASONS:]):
        lines.append(f"other reasons: {rest:,}")
    return lines


def told_in_line(passed: Sequence[Passed], read: int, root: Path) -> list[str]:
    """Return how many files are not read, why, and what shows more of them, in one line; none if all are read."""
    head, *_ = told(passed, read, root) or [""]
    where = shlex.quote(str(root))
    return [f"{head}: {told_briefly(passed, root)}; to see more: srat data folder {where}"] if head else []


def told_briefly(passed: Sequence[Passed], root: Path) -> str:
    """Return how many files are not read for which reason, and a few of their names.

    Args:
        passed: the files.
        root: the folder that their names are shortened by.
    """
    ranked = Counter(each.why for each in passed).most_common()
    rest = sum(count for _, count in ranked[BRIEF:])
    reasons = [f"{why}: {count:,}" for why, count in ranked[:BRIEF]] + [f"other reasons: {rest:,}"] * (rest > 0)
    return f"{', '.join(reasons)} ({few([_below(each.path, root) for each in passed])})"


def is_hidden(name: str) -> bool:
    """Return whether a name is one that people do not mean when they speak of a folder's files."""
    return name.startswith(".") or name.casefold() in HIDDEN


def _scanned(folder: Path, *, above: tuple[tuple[int, int], ...], links: int) -> Branch:
    """Return a folder's branch.

    Args:
        folder: it.
        above: device and inode of each folder that it lies in.
        links: how many of those were links.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        known = folder.stat()
    except OSError as error:
        shut = Passed(path=folder, kind="unreadable", why=f"folder that cannot be read ({error.strerror})")
        return Branch(path=folder, passed=(shut,))
    inside = (*above, (known.st_dev, known.st_ino))
    images, tables = list[Path](), list[Path]()
    folders, passed = list[Branch](), list[Passed]()
    for entry in entries:
        path = folder / entry.name
        if is_hidden(entry.name):
            passed += _hidden(path)
        elif _is_folder(path):
            if why := _why_not_entered(path, inside, links):
                passed.append(Passed(path=path, kind="unreadable", why=why))
            else:
                folders.append(_scanned(path, above=inside, links=links + path.is_symlink()))
        elif other := _not_a_file(path) if path.suffix.lower() in TABLES else not_an_image(path):
            passed.append(other)
        else:
            (tables if path.suffix.lower() in TABLES else images).append(path)
    return Branch(path=folder, images=tuple(images), tables=tuple(tables), folders=tuple(folders), passed=tuple(passed))


def not_an_image(path: Path) -> Passed | None:
    """Return why a file is not read as an image; None if it is."""
    if nothing := _not_a_file(path):
        return nothing
    if why := why_undecoded(path, start_of(path)):
        return Passed(path=path, kind="unreadable", why=why)
    readable = path.suffix.lower() in SUFFIXES or is_image(path)
    return None if readable else Passed(path=path, kind="foreign", why=_other(path))


def _not_a_file(path: Path) -> Passed | None:
    """Return why there is no file to read; None if there is."""
    why = _why_no_file(path)
    return Passed(path=path, kind="unreadable", why=why) if why else None


def _why_no_file(path: Path) -> str:
    """Return why there is no file to read; "" if there is."""
    try:
        return "" if stat.S_ISREG(path.stat().st_mode) else "device or pipe"
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return f"file that cannot be read ({error.strerror})"
        return "dangling link" if path.is_symlink() else "gone"


def _why_not_entered(folder: Path, inside: tuple[tuple[int, int], ...], links: int) -> str:
    if not folder.is_symlink():
        return ""
    there = folder.stat()
    if (there.st_dev, there.st_ino) in inside:
        return "link back to a folder that it lies in"
    return "link within too many links" if links >= MOST_LINKS else ""


def _hidden(path: Path) -> list[Passed]:
    """Return the hidden file, or all files in the hidden folder; links in it are not followed."""
    if not path.is_dir() or path.is_symlink():
        return [Passed(path=path, kind="hidden", why="hidden")]
    inside = ((Path(top), [*folders, *files]) for top, folders, files in os.walk(path))
    paths = [top / name for top, names in inside for name in names]
    return [Passed(path=each, kind="hidden", why="hidden") for each in paths if each.is_symlink() or not each.is_dir()]


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def _other(path: Path) -> str:
    """Return what a file that is not an image is, by its ending."""
    if kind := OTHERS.get(path.suffix.lower()):
        return f"{kind} ({path.suffix.lower()})"
    if path.suffix[1:].isdecimal():  # of numbered files no two would end alike
        return "not an image (its ending is a number)"
    return f"not an image ({path.suffix.lower()})" if path.suffix else "not an image (without an ending)"


def _below(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)

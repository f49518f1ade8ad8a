"""How a folder says which image is of which class and part: by folders, by tables, in the ways that people have."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from srat.data.record import PARTS, Part, hashed_share
from srat.data.scan import Branch, Passed
from srat.data.table import Columns, Listed, Table, find_table, listed, names_any
from srat.data.validation import ValidationUse, with_use
from srat.errors import require

LayoutName = Literal["auto", "parts", "classes", "table"]
"""Found by looking; a folder a part, with a folder a class in each; a folder a class; a table of files and classes."""
Files = Mapping[str, Sequence[Path]]
"""The images of each class."""
_PART_WORDS: Mapping[Part, frozenset[str]] = {
    "train": frozenset({"train", "training", "trn"}),
    "validation": frozenset({"val", "valid", "validation", "validate", "dev"}),
    "test": frozenset({"test", "testing", "tst"}),
}
_FILLERS = frozenset({"seg", "set", "data", "dataset", "images", "image", "imgs", "img", "split", "part", "folder"})
"""Words beside that of a part in the names of folders and tables: seg_train, test_images, training-set."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Images with their classes."""

    branch: Branch
    """The folder that they are in."""
    files: Files
    tables: frozenset[Path] = frozenset()
    """The tables that say their classes."""
    left: str = "beside the class folders"
    """Why other images in the folder are not among them."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which image of a folder is of which class and part, and what is passed over."""

    parts: Mapping[Part, Files]
    """By part; where the folder has no parts of its own, training alone."""
    passed: tuple[Passed, ...] = ()
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = field(init=False)
    """The classes of the training part, in the order of their labels."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", in_order(self.parts["train"]))


def lay_out(root: Branch, *, layout: LayoutName, validation: ValidationUse, columns: Columns) -> Layout:
    """Return which image of a folder is of which class and part.

    Args:
        root: the folder.
        layout: how it is arranged.
        validation: what a validation part is for.
        columns: those of tables.

    Raises:
        UserError: if that cannot be told; the line says what to do.
    """
    top = descended(root)
    parts = None
    if layout in ("auto", "table"):
        parts = _by_tables(top, columns)
    if parts is None and layout in ("auto", "parts"):
        parts = _by_parts(top, columns, sure=layout == "parts")
    if parts is None:
        parts = {"train": _labelled(top, columns, layout)}
    used = _with_use(parts, validation, root.path)
    deeper = (f"the classes are those of {top.path}",) if top is not root else ()
    return Layout(
        parts={part: each.files for part, each in used.items()},
        passed=_passed(root, list(parts.values())),
        notes=(*deeper, *dict.fromkeys(note for each in used.values() for note in each.notes)),
    )


def part_of(name: str) -> Part | None:
    """Return the part that a name speaks of: Train, training_set, seg_test, val2017, …; None for other names."""
    words = _words(name)
    return next((part for part in PARTS if len(words) == 1 and words[0] in _PART_WORDS[part]), None)


def _words(name: str) -> list[str]:
    """Return the words of a name in small letters, without those that say nothing."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[\W_\d]+", spaced.casefold()) if word and word not in _FILLERS]


def descended(branch: Branch) -> Branch:
    """Return the folder that holds classes or parts: one or more below, where each folder holds but one folder."""
    while not branch.images and not branch.tables and len(_filled(branch)) == 1:
        [only] = _filled(branch)
        others = [each for each in branch.folders if each is not only]
        if any(map(_may_be_class, others)) or not (only.tables or _filled(only)):
            break
        branch = only
    return branch


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return class names in the order of their labels: numbers as numbers, then the others by the alphabet."""

    def key(name: str) -> tuple[int, float, str]:
        number = re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", name)
        return (0, float(name), name) if number else (1, 0.0, name)

    return tuple(sorted(names, key=key))


def split_by_name(files: Files, test_fraction: float) -> dict[Part, Files]:
    """Return training and test of images without parts: an image is of the test if its name's hash says so.

    That depends on its own file's name alone, so that images which come later move none.

    Args:
        files: the images of each class.
        test_fraction: the share of all names that are of the test.
    """
    is_test = {path: name_share(path) < test_fraction for paths in files.values() for path in paths}
    return {
        "train": {name: [path for path in paths if not is_test[path]] for name, paths in files.items()},
        "test": {name: [path for path in paths if is_test[path]] for name, paths in files.items()},
    }


def name_share(path: Path) -> float:
    """Return the number in [0, 1) that follows from a file's name, however its system writes accents."""
    return hashed_share(_normal(path.name))


def _by_tables(top: Branch, columns: Columns) -> dict[Part, Labelled] | None:
    """Return the parts of images in tables; None if no table tells of parts.

    Tables are called after them (train.csv, test.csv), or there is one with a column of parts, or its images lie in
    folders that are called so.
    """
    tables = _usable(top, columns)
    named = [table for table in tables if part_of(table.path.stem)]
    kinds = [part_of(table.path.stem) for table in named]
    if "train" in kinds:
        names = ", ".join(table.path.name for table in named)
        require(len(set(kinds)) == len(kinds), f"{top.path}: several tables of one part: {names}")
        return _parts_read(top, named, lambda table, _: part_of(table.path.stem))
    folders = [each for each in _filled(top) if part_of(each.name)]
    if len(tables) != 1 or any(_says_classes(each, columns) for each in folders):
        return None

    def part_said(_: Table, row: Listed) -> Part | None:
        return part_of(row.part) or part_of(row.path.relative_to(top.path).parts[0])

    rows = listed(tables[0], top)[0]
    if not any(part_said(tables[0], row) == "train" for row in rows):
        return None
    odd = [row.part for row in rows if row.part and part_of(row.part) is None]
    column = f"{tables[0].path}: the column {tables[0].part} says '{''.join(odd[:1])}'"
    require(not odd, f"{column}; expected train, validation or test")
    return _parts_read(top, tables, part_said)


def _by_parts(top: Branch, columns: Columns, *, sure: bool) -> dict[Part, Labelled] | None:
    """Return the parts by folders that are called after them; None if those folders are classes, or there are none.

    Raises:
        UserError: if it cannot be told whether they are parts or classes.
    """
    named = [(part, each) for each in top.folders if (part := part_of(each.name))]
    parts = [(part, each) for part, each in named if _says_classes(each, columns)]
    others = [each for each in _filled(top) if not part_of(each.name)]
    if not sure and (not named or (not parts and others)):
        return None  # images lie in them as in the others: classes that are called so
    kinds, names = [part for part, _ in parts], ", ".join(each.name for _, each in named) or "none"
    unsorted = f"{top.path}: the images in {names} are neither in a folder a class nor in a table of classes"
    unsorted += " (--data.layout classes takes these folders as classes)"
    require(bool(parts), unsorted if named else f"{top.path}: expected folders train and test, found neither")
    clear = sure or ("train" in kinds and (len(set(kinds)) > 1 or not others))
    ways = "--data.layout parts or --data.layout classes says which"
    require(clear, f"{top.path}: {names} may be parts of the data, or classes beside the others; {ways}")
    require("train" in kinds, f"{top.path}: expected a training part, got {names}")
    require(len(set(kinds)) == len(kinds), f"{top.path}: several folders of one part: {names}")
    return {part: _labelled(each, columns) for part, each in parts}


def _labelled(branch: Branch, columns: Columns, layout: LayoutName = "auto") -> Labelled:
    """Return the images of a folder with their classes, by the folders in it, or by a table in it.

    Raises:
        UserError: if there is neither, or it cannot be told which of them says the classes.
    """
    branch = descended(branch)
    tables = [] if layout == "classes" else _usable(branch, columns)
    folders = [each.name for each in _filled(branch)]
    if layout == "table" or (tables and len(folders) < 2):
        return _by_table(branch, tables)
    idle = [] if layout == "classes" or len(folders) > 1 else _with_columns(branch, columns)
    require(not idle, f"{branch.path}: {''.join(each.path.name for each in idle[:1])} names no image that is here")
    if tables and layout == "auto":
        names = {row.label for table in tables for row in listed(table, branch)[0]}
        ways = "--data.layout table or --data.layout classes says which"
        either = f"{branch.path}: {tables[0].path.name} says other classes than the folders {_few(folders)}; {ways}"
        require(names <= set(folders), either)
    return _by_folders(branch, sure=layout == "classes")


def _by_folders(branch: Branch, *, sure: bool) -> Labelled:
    """Return the images of a folder with a folder for each class.

    Raises:
        UserError: if there is no folder, one without an image, or parts within the classes.
    """
    loose = f"; {len(branch.images):,} images lie loose in it" if branch.images else ""
    table = "or a table with columns of file names and classes (--data.file-column, --data.label-column)"
    require(bool(branch.folders), f"{branch.path}: expected one folder a class, {table}, found no folder{loose}")
    empty = [_why_empty(each) for each in branch.folders if not each.all_images]
    require(not empty, f"{branch.path}: no image in class {', '.join(empty)}")
    inside = all(not each.images and all(part_of(one.name) for one in each.folders) for each in branch.folders)
    turned = f"{branch.path}: the parts lie within the classes; put the classes within the parts, as in train/{{}}"
    require(sure or not inside, turned.format(branch.folders[0].name))
    if not sure:
        _require_no_doubt(branch)
    same: dict[str, list[Branch]] = defaultdict(list)
    for folder in branch.folders:
        same[_normal(folder.name)].append(folder)
    return Labelled(
        branch=branch,
        files={name: sorted(path for each in alike for path in each.all_images) for name, alike in same.items()},
        notes=tuple(
            f"the class '{name}' has {len(alike)} folders, whose names differ in the form of their accents alone"
            for name, alike in same.items()
            if len(alike) > 1
        ),
    )


def _require_no_doubt(branch: Branch) -> None:
    """Raise ``UserError`` if folders look like something else than classes."""
    ways = "--data.layout classes takes them as classes"
    words = {word for each in branch.folders for word in _words(each.name)}
    kinds = [part for part in PARTS if words & _PART_WORDS[part]]
    names = _few([each.name for each in branch.folders])
    require(len(kinds) < 2, f"{branch.path}: the folders {names} may be parts of the data; {ways}")
    inside = [frozenset(_normal(one.name) for one in _filled(each)) for each in branch.folders]
    loose = any(each.images for each in branch.folders)
    alike = not loose and len(inside) > 1 and len(inside[0]) > 1 and len(set(inside)) == 1
    same = _few(sorted(inside[0])) if inside else ""
    said = f"{branch.path}: the folders {names} hold the same folders ({same}): name one of them with --data-dir"
    require(not alike, f"{said}, or {ways}")


def _by_table(branch: Branch, tables: Sequence[Table]) -> Labelled:
    """Return the images of a folder with a table of their classes in it.

    Raises:
        UserError: if there is no such table, or several.
    """
    there = ", ".join(path.name for path in branch.tables) or "none"
    flags = "--data.file-column and --data.label-column name them"
    wanted = f"{branch.path}: expected a table with columns of file names and classes ({flags}); there are: {there}"
    require(bool(tables), wanted)
    names = ", ".join(table.path.name for table in tables)
    require(len(tables) == 1, f"{branch.path}: several tables could say the classes: {names}; leave one there")
    return _parts_read(branch, tables, lambda *_: "train")["train"]


def _parts_read(
    branch: Branch, tables: Sequence[Table], part_said: Callable[[Table, Listed], Part | None]
) -> dict[Part, Labelled]:
    """Return the images that tables name, by part; those of no part are left.

    Raises:
        UserError: if they name none, or one in several parts.
    """
    files: dict[Part, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    notes: list[str] = []
    seen: dict[Path, Part] = {}
    for table in tables:
        own = next((each for each in branch.folders if part_of(each.name) == part_of(table.path.stem)), None)
        rows, said = listed(table, branch, own if part_of(table.path.stem) else None)
        notes += said
        for row in rows:
            if part := part_said(table, row):
                before = seen.setdefault(row.path, part)
                require(before == part, f"{table.path}: '{row.path.name}' is in the parts {before} and {part}")
                files[part][_normal(row.label)].append(row.path)
    names = ", ".join(table.path.name for table in tables)
    require("train" in files, f"{branch.path}: {names} names no image that is here")
    return {
        part: Labelled(
            branch=branch,
            files={name: sorted(paths) for name, paths in files[part].items()},
            tables=frozenset(table.path for table in tables),
            left=f"not in {names}",
            notes=tuple(notes),
        )
        for part in PARTS
        if part in files
    }


def _with_use(parts: dict[Part, Labelled], validation: ValidationUse, folder: Path) -> dict[Part, Labelled]:
    """Return the parts, the validation part as what it is for.

    Raises:
        UserError: if that is to be asked for, or a part has other classes than the training part.
    """
    parts = with_use(parts, validation, folder)
    wanted = parts["train"].files.keys()
    for part in parts:
        names = parts[part].files.keys()
        odd = names ^ wanted if part == "test" else names - wanted
        said = ", ".join(f"'{name}' ({'train' if name in wanted else part})" for name in in_order(odd))
        require(not odd, f"{folder}: expected the same classes in train and {part}; only in one of them: {said}")
    return parts


def _passed(root: Branch, labelled: Sequence[Labelled]) -> tuple[Passed, ...]:
    """Return everything in a folder that is not among the labelled images, nor a table of theirs."""
    used = {path for each in labelled for paths in each.files.values() for path in paths}
    tables = {path for each in labelled for path in each.tables}

    def why(path: Path) -> str:
        around = next((each for each in labelled if path.is_relative_to(each.branch.path)), None)
        unsaid = next((parent.name for parent in path.parents if part_of(parent.name)), None)
        if around is not None:
            return around.left
        return "beside the parts" if unsaid is None else f"in {unsaid}, where nothing says the classes"

    return (
        *root.all_passed,
        *(Passed(path=path, why="table that is not used") for path in root.all_tables if path not in tables),
        *(Passed(path=path, why=why(path)) for path in root.all_images if path not in used),
    )


def _usable(branch: Branch, columns: Columns) -> list[Table]:
    """Return the tables in a folder that name images of it, with their classes."""
    return [table for table in _with_columns(branch, columns) if names_any(table, branch)]


def _with_columns(branch: Branch, columns: Columns) -> list[Table]:
    tables = (find_table(path, columns) for path in branch.tables)
    return [table for table in tables if table is not None]


def _says_classes(branch: Branch, columns: Columns) -> bool:
    """Return whether a folder's images are in folders, or in a table."""
    branch = descended(branch)
    return bool(_filled(branch) or (branch.images and _usable(branch, columns)))


def _may_be_class(branch: Branch) -> bool:
    """Return whether a folder without an image may be a class: it is empty, or what lies there may be images."""
    other = [each for each in branch.all_passed if not each.why.startswith("not an image")]
    visible = [each for each in branch.all_passed if each.why != "hidden"]
    return bool([each for each in other if each.why != "hidden"]) or not (visible or branch.all_tables)


def _filled(branch: Branch) -> list[Branch]:
    return [each for each in branch.folders if each.all_images]


def _normal(name: str) -> str:
    """Return a name in one of the forms in which Unicode writes accents."""
    return unicodedata.normalize("NFC", name)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _why_empty(branch: Branch) -> str:
    kinds = sorted({each.why for each in branch.all_passed})
    return branch.name + (f" (there are: {'; '.join(kinds)})" if kinds else "")

"""Tables that say of which class, and of which part, images are."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from srat.core.errors import require
from srat.data.image_folder.branches import filled, says_classes, shortcomings, usable
from srat.data.image_folder.labelled import Labelled, also_left
from srat.data.image_folder.listing import Listed, listed
from srat.data.image_folder.naming import normal, part_of
from srat.data.image_folder.part_columns import WAY_OUT, parts_in, require_understood, unread_column
from srat.data.image_folder.scan import Branch
from srat.data.image_folder.table import Columns, Table
from srat.data.record import PARTS, Part


def parts_by_tables(top: Branch, columns: Columns) -> dict[Part, Labelled] | None:
    """Return the parts of images in tables; None if no table tells of parts.

    Tables are called after them (train.csv, test.csv), or there is one with a column of parts, or its images lie in
    folders that are called so.

    Raises:
        UserError: if a table tells of parts, but not of all its images, or of none for training.
    """
    tables = usable(top, columns)
    named = [table for table in tables if part_of(table.path.stem)]
    if any(part_of(table.path.stem) == "train" for table in named):
        others = dict.fromkeys((table.path for table in tables if table not in named), "table whose name says no part")
        return also_left(_by_names(top, named), others)
    folders = [each for each in filled(top) if part_of(each.name)]
    if len(tables) != 1 or (not columns.named and any(says_classes(each, columns) for each in folders)):
        return None
    [table] = tables
    rows = listed(table, top).images
    parts = {_part_said(row, top) for row in rows}
    require_understood(table, (row.part for row in rows), trained="train" in parts)
    got = ", ".join(sorted(part for part in parts if part)) + " and others" * (None in parts)
    expected = f"{table.path}: expected images in a folder train among those that it names, got {got}"
    require("train" in parts or parts == {None}, expected)
    return parts_read(top, tables, lambda _, row: _part_said(row, top)) if "train" in parts else None


def _part_said(row: Listed, top: Branch) -> Part | None:
    """Return the part that a table says of an image, or else the folder that it lies in."""
    return part_of(row.part) or part_of(row.path.relative_to(top.path).parts[0])


def _by_names(top: Branch, tables: Sequence[Table]) -> dict[Part, Labelled]:
    """Return the parts that tables are called after; a column in one that says parts counts more than its name.

    Raises:
        UserError: if two are called after the same part, or such a column says parts of some rows alone.
    """
    names = ", ".join(table.path.name for table in tables)
    kinds = {part_of(table.path.stem) for table in tables}
    require(len(kinds) == len(tables), f"{top.path}: several tables of one part: {names}")
    notes = []
    for table in tables:
        if parts_in(table):
            require_understood(table, map(table.part_said, table.rows), trained=True)
        else:
            notes += unread_column(table, "the table's name says the part")
    parts = parts_read(top, tables, lambda table, row: part_of(row.part) or part_of(table.path.stem))
    return also_left(parts, {}, notes)


def by_table(branch: Branch, tables: Sequence[Table]) -> Labelled:
    """Return the images of a folder with a table of their classes in it.

    Raises:
        UserError: if there is no such table, or several.
    """
    there = ", ".join(path.name for path in branch.tables) or "none"
    flags = "`data.file_column` and `data.label_column` name them"
    wanted = f"{branch.path}: expected a table with columns of file names and classes ({flags}); there are: {there}"
    require(bool(tables), wanted + shortcomings(branch))
    require_one(branch, tables)
    [table] = tables
    within = f"{table.path}: the column {table.part} says {', '.join(sorted(parts_in(table)))} within one part"
    require(len(parts_in(table)) < 2, f"{within}: put the table beside the folders of the parts, {WAY_OUT}")
    read = parts_read(branch, tables, lambda *_: "train")["train"]
    return replace(read, notes=(*read.notes, *unread_column(table, "all its images are of one part")))


def require_one(branch: Branch, tables: Sequence[Table]) -> None:
    """Raise ``UserError`` if several tables could say the classes of a folder's images."""
    names = ", ".join(table.path.name for table in tables)
    several = f"{branch.path}: several tables could say the classes: {names}"
    require(len(tables) < 2, f"{several}; leave one there, or call them after their parts: train.csv, test.csv")


def parts_read(
    branch: Branch, tables: Sequence[Table], part_said: Callable[[Table, Listed], Part | None]
) -> dict[Part, Labelled]:
    """Return the images that tables name, by part; those of no part are left.

    Raises:
        UserError: if they name none, or one in several parts.
    """
    files: dict[Part, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    left: dict[Path, str] = {}
    notes: list[str] = []
    seen: dict[Path, Part] = {}
    rows: dict[Path, Mapping[str, str]] = {}
    for table in tables:
        listing = listed(table, branch, _folder_of(table, branch))
        notes += listing.notes
        left |= dict.fromkeys(listing.unlabelled, f"no class in {table.path.name}")
        for row in listing.images:
            if (part := part_said(table, row)) is None:
                left[row.path] = f"no part in {table.path.name}"
                continue
            before = seen.setdefault(row.path, part)
            require(before == part, f"{table.path}: '{row.path.name}' is in the parts {before} and {part}")
            files[part][normal(row.label)].append(row.path)
            rows[row.path] = row.row
    require("train" in files, f"{branch.path}: {'; '.join(table.names_nothing for table in tables)}")
    return {
        part: Labelled(
            branch=branch,
            files={name: sorted(paths) for name, paths in files[part].items()},
            tables=frozenset(table.path for table in tables),
            rows=rows,
            left=f"not in {', '.join(table.path.name for table in tables)}",
            left_each=left,
            notes=tuple(notes),
        )
        for part in PARTS
        if part in files
    }


def _folder_of(table: Table, branch: Branch) -> Branch | None:
    """Return the folder in a folder that is called after the same part as a table."""
    part = part_of(table.path.stem)
    return next((each for each in branch.folders if part and part_of(each.name) == part), None)

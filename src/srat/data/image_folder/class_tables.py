"""Tables that say of which class, and of which part, images are."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from srat.core.errors import require
from srat.data.image_folder.branches import filled, says_classes, usable
from srat.data.image_folder.labelled import Labelled, also_left
from srat.data.image_folder.listing import Listed, listed
from srat.data.image_folder.naming import normal, part_of
from srat.data.image_folder.scan import Branch
from srat.data.image_folder.table import Columns, Table, shortcomings
from srat.data.record import PARTS, Part


def parts_by_tables(top: Branch, columns: Columns) -> dict[Part, Labelled] | None:
    """Return the parts of images in tables; None if no table tells of parts.

    Tables are called after them (train.csv, test.csv), or there is one with a column of parts, or its images lie in
    folders that are called so.
    """
    tables = usable(top, columns)
    named = [table for table in tables if part_of(table.path.stem)]
    kinds = [part_of(table.path.stem) for table in named]
    if "train" in kinds:
        names = ", ".join(table.path.name for table in named)
        require(len(set(kinds)) == len(kinds), f"{top.path}: several tables of one part: {names}")
        others = dict.fromkeys((table.path for table in tables if table not in named), "table whose name says no part")
        return also_left(parts_read(top, named, lambda table, _: part_of(table.path.stem)), others)
    folders = [each for each in filled(top) if part_of(each.name)]
    if len(tables) != 1 or any(says_classes(each, columns) for each in folders):
        return None

    def part_said(_: Table, row: Listed) -> Part | None:
        return part_of(row.part) or part_of(row.path.relative_to(top.path).parts[0])

    rows = listed(tables[0], top).images
    if not any(part_said(tables[0], row) == "train" for row in rows):
        return None
    odd = [row.part for row in rows if row.part and part_of(row.part) is None]
    column = f"{tables[0].path}: the column {tables[0].part} says '{''.join(odd[:1])}'"
    require(not odd, f"{column}; expected train, validation or test")
    return parts_read(top, tables, part_said)


def by_table(branch: Branch, tables: Sequence[Table]) -> Labelled:
    """Return the images of a folder with a table of their classes in it.

    Raises:
        UserError: if there is no such table, or several.
    """
    there = ", ".join(path.name for path in branch.tables) or "none"
    flags = "--data.file-column and --data.label-column name them"
    wanted = f"{branch.path}: expected a table with columns of file names and classes ({flags}); there are: {there}"
    require(bool(tables), wanted + shortcomings(branch.tables))
    names = ", ".join(table.path.name for table in tables)
    require(len(tables) == 1, f"{branch.path}: several tables could say the classes: {names}; leave one there")
    return parts_read(branch, tables, lambda *_: "train")["train"]


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
    require("train" in files, f"{branch.path}: {'; '.join(table.names_nothing for table in tables)}")
    return {
        part: Labelled(
            branch=branch,
            files={name: sorted(paths) for name, paths in files[part].items()},
            tables=frozenset(table.path for table in tables),
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

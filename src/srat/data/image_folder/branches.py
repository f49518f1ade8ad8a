"""What a folder's branches hold: classes, parts, tables that name their images."""

from pathlib import Path

from srat.core.errors import require
from srat.data.image_folder.listing import is_image_of, mentions_images, names_any
from srat.data.image_folder.scan import Branch
from srat.data.image_folder.table import Columns, Table, find_table, lacking, shortcoming

LISTS = frozenset({".txt", ".lst", ".list", ".json", ".jsonl", ".ndjson"})
"""Endings of files that may name images, and are not read as tables."""


def descended(branch: Branch) -> Branch:
    """Return the folder that holds classes or parts: one or more below, where each folder holds but one folder."""
    while not branch.images and not branch.tables and len(filled(branch)) == 1:
        [only] = filled(branch)
        others = [each for each in branch.folders if each is not only]
        if any(map(_may_be_class, others)) or not (only.tables or filled(only)):
            break
        branch = only
    return branch


def filled(branch: Branch) -> list[Branch]:
    """Return the folders in a folder that hold images."""
    return [each for each in branch.folders if each.all_images]


def usable(branch: Branch, columns: Columns) -> list[Table]:
    """Return the tables in a folder that name images of it, with their classes."""
    return [table for table in with_columns(branch, columns) if names_any(table, branch)]


def with_columns(branch: Branch, columns: Columns) -> list[Table]:
    """Return the tables in a folder that have columns of file names and classes.

    Raises:
        UserError: if no table has the columns that are wanted by name.
    """
    is_image = is_image_of(branch)
    found = [table for path in branch.tables if (table := find_table(path, columns, is_image))]
    lacks = [] if found else [said for path in branch.tables if (said := lacking(path, columns))]
    require(not lacks, f"{branch.path}: {'; '.join(lacks)}")
    return found


def shortcomings(branch: Branch, where: str = "") -> str:
    """Return what is said of a folder's tables and lists that do not say the classes: "; labels.csv is a table …".

    Args:
        branch: the folder.
        where: what stands before the files' names.
    """
    tables = [f"{path.name} is a {why}" for path in branch.tables if (why := shortcoming(path))]
    unread = "names images, but only tables in .csv and .tsv files are read"
    lists = [f"{path.name} {unread}" for path in _lists(branch) if mentions_images(path, branch)]
    return "".join(f"; {where}{each}" for each in (*tables, *lists))


def speaks_of_images(branch: Branch) -> bool:
    """Return whether a table or list in a folder names images of it, whether or not it can be read as a table."""
    return any(mentions_images(path, branch) for path in (*branch.tables, *_lists(branch)))


def _lists(branch: Branch) -> list[Path]:
    return [each.path for each in branch.passed if each.path.suffix.lower() in LISTS and each.kind == "foreign"]


def says_classes(branch: Branch, columns: Columns) -> bool:
    """Return whether a folder's images are in folders, or in a table."""
    branch = descended(branch)
    return bool(filled(branch) or (branch.images and usable(branch, columns)))


def _may_be_class(branch: Branch) -> bool:
    """Return whether a folder without an image may be a class: it is empty, or what lies there may be images."""
    kinds = {each.kind for each in branch.all_passed} - {"hidden"}
    return "unreadable" in kinds or not (kinds or branch.all_tables)

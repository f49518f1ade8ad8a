"""What a folder's branches hold: classes, parts, tables that name their images."""

from srat.data.image_folder.listing import is_image_of, lists_images, names_any
from srat.data.image_folder.scan import Branch
from srat.data.image_folder.table import Columns, Table, find_table, shortcoming


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
    """Return the tables in a folder that have columns of file names and classes."""
    is_image = is_image_of(branch)
    tables = (find_table(path, columns, is_image) for path in branch.tables)
    return [table for table in tables if table is not None]


def shortcomings(branch: Branch, where: str = "") -> str:
    """Return what is said of a folder's tables and lists that do not say the classes: "; labels.csv is a table …".

    Args:
        branch: the folder.
        where: what stands before the files' names.
    """
    tables = [f"{path.name} is a {why}" for path in branch.tables if (why := shortcoming(path))]
    foreign = [each.path for each in branch.passed if each.kind == "foreign"]
    unread = "names images, but only tables in .csv and .tsv files are read"
    lists = [f"{path.name} {unread}" for path in foreign if lists_images(path, branch)]
    return "".join(f"; {where}{each}" for each in (*tables, *lists))


def says_classes(branch: Branch, columns: Columns) -> bool:
    """Return whether a folder's images are in folders, or in a table."""
    branch = descended(branch)
    return bool(filled(branch) or (branch.images and usable(branch, columns)))


def _may_be_class(branch: Branch) -> bool:
    """Return whether a folder without an image may be a class: it is empty, or what lies there may be images."""
    kinds = {each.kind for each in branch.all_passed} - {"hidden"}
    return "unreadable" in kinds or not (kinds or branch.all_tables)

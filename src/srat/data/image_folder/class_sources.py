"""What says the classes of a folder's images, and of its parts: the folders in it, or a table in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from srat.core.errors import UserError, require
from srat.core.words import few
from srat.data.image_folder.branches import descended, filled, says_classes, shortcomings, usable, with_columns
from srat.data.image_folder.class_folders import by_folders
from srat.data.image_folder.class_tables import by_table, require_one
from srat.data.image_folder.labelled import Labelled, LayoutName, also_left
from srat.data.image_folder.listing import listed
from srat.data.image_folder.naming import normal, part_of
from srat.data.image_folder.scan import Branch
from srat.data.image_folder.table import Columns
from srat.data.record import Part


def parts_by_folders(top: Branch, columns: Columns, *, sure: bool) -> dict[Part, Labelled] | None:
    """Return the parts by folders that are called after them; None if those folders are classes, or there are none.

    Raises:
        UserError: if it is not clear whether they are parts or classes.
    """
    named = [(part, each) for each in top.folders if (part := part_of(each.name))]
    parts = [(part, each) for part, each in named if says_classes(each, columns)]
    others = [each for each in filled(top) if not part_of(each.name)]
    if not sure and (not named or (not parts and others)):
        return None  # images lie in them as in the others: classes that are called so
    kinds, names = [part for part, _ in parts], ", ".join(each.name for _, each in named)
    if not parts:
        _refuse_unsorted(top, [each for _, each in named], columns)
    clear = sure or ("train" in kinds and (len(set(kinds)) > 1 or not others))
    ways = "`data.layout` parts or `data.layout` classes says which"
    either = "a part of the data, or a class" if len(named) == 1 else "parts of the data, or classes"
    require(clear, f"{top.path}: {names} may be {either} beside the others; {ways}")
    require("train" in kinds, f"{top.path}: expected a training part, got {names}")
    require(len(set(kinds)) == len(kinds), f"{top.path}: several folders of one part: {names}")
    unsaid = [each for _, each in named if not says_classes(each, columns)]
    read = {part: labelled(each, columns, answer="parts", sure=sure) for part, each in parts}
    return also_left(_without(others, read), _left(unsaid, "in {}, where nothing says the classes"))


def _refuse_unsorted(top: Branch, named: Sequence[Branch], columns: Columns) -> NoReturn:
    """Raise ``UserError`` of folders that are called after parts and hold images, but no classes."""
    require(bool(named), f"{top.path}: expected folders train and test, found neither")
    require_one(top, usable(top, columns))
    names = ", ".join(each.name for each in named)
    unsorted = f"{top.path}: the images in {names} are neither in one folder per class nor in a table of classes"
    flags = "; `data.file_column` and `data.label_column` name a table's columns" * bool(top.tables)
    ways = f" (`data.layout` classes takes these folders as classes{flags})"
    said = [shortcomings(top), *(shortcomings(each, f"{each.name}/") for each in named)]
    raise UserError(f"{unsorted}{ways}{''.join(said)}")


def _left(folders: Sequence[Branch], why: str) -> dict[Path, str]:
    """Return why each image in folders is left, with the name of its folder."""
    return {path: why.format(each.name) for each in folders for path in each.all_images}


def _without(others: Sequence[Branch], parts: dict[Part, Labelled]) -> dict[Part, Labelled]:
    """Return the parts, with what is to be said of folders beside them that hold the same classes."""
    wanted = parts["train"].files.keys()
    like = [each for each in others if wanted & {normal(one.name) for one in filled(descended(each))}]
    left = _left(others, "in {}, beside the parts") | _left(like, "in {}, whose name says no part")
    unread = "holds classes of the training part, but its name says no part, so it is not read"
    notes = [f"{each.name} {unread}: call it validation or test to use it" for each in like]
    return also_left(parts, left, notes)


def labelled(
    branch: Branch, columns: Columns, layout: LayoutName = "auto", *, answer: LayoutName = "classes", sure: bool = False
) -> Labelled:
    """Return the images of a folder with their classes, by the folders in it, or by a table in it.

    Args:
        branch: the folder.
        columns: those of tables.
        layout: how it is arranged.
        answer: the layout that takes its folders as classes if that is in doubt.
        sure: whether the user has given it.

    Raises:
        UserError: if there is neither, or it is not clear which of them says the classes.
    """
    branch = descended(branch)
    tables = [] if layout == "classes" else usable(branch, columns)
    folders = [each.name for each in filled(branch)]
    if layout == "table" or (tables and (columns.named or len(folders) < 2)):
        return by_table(branch, tables)
    idle = [] if layout == "classes" or len(folders) > 1 else with_columns(branch, columns)
    require(not idle, f"{branch.path}: {'; '.join(each.names_nothing for each in idle[:1])}")
    if tables and layout == "auto":
        names = {row.label for table in tables for row in listed(table, branch).images}
        ways = "`data.layout` table or `data.layout` classes says which"
        either = f"{branch.path}: {tables[0].path.name} says other classes than the folders {few(folders)}; {ways}"
        require(names <= set(folders), either)
    return by_folders(branch, sure=sure, answer=answer)

"""What says the classes of a folder's images, and of its parts: the folders in it, or a table in it."""

from srat.data.branches import descended, filled, says_classes, usable, with_columns
from srat.data.class_folders import by_folders
from srat.data.class_tables import by_table
from srat.data.labelled import Labelled, LayoutName
from srat.data.naming import part_of
from srat.data.record import Part
from srat.data.scan import Branch
from srat.data.table import Columns, listed
from srat.errors import require
from srat.words import few


def parts_by_folders(top: Branch, columns: Columns, *, sure: bool) -> dict[Part, Labelled] | None:
    """Return the parts by folders that are called after them; None if those folders are classes, or there are none.

    Raises:
        UserError: if it cannot be told whether they are parts or classes.
    """
    named = [(part, each) for each in top.folders if (part := part_of(each.name))]
    parts = [(part, each) for part, each in named if says_classes(each, columns)]
    others = [each for each in filled(top) if not part_of(each.name)]
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
    return {part: labelled(each, columns) for part, each in parts}


def labelled(branch: Branch, columns: Columns, layout: LayoutName = "auto") -> Labelled:
    """Return the images of a folder with their classes, by the folders in it, or by a table in it.

    Raises:
        UserError: if there is neither, or it cannot be told which of them says the classes.
    """
    branch = descended(branch)
    tables = [] if layout == "classes" else usable(branch, columns)
    folders = [each.name for each in filled(branch)]
    if layout == "table" or (tables and len(folders) < 2):
        return by_table(branch, tables)
    idle = [] if layout == "classes" or len(folders) > 1 else with_columns(branch, columns)
    require(not idle, f"{branch.path}: {''.join(each.path.name for each in idle[:1])} names no image that is here")
    if tables and layout == "auto":
        names = {row.label for table in tables for row in listed(table, branch)[0]}
        ways = "--data.layout table or --data.layout classes says which"
        either = f"{branch.path}: {tables[0].path.name} says other classes than the folders {few(folders)}; {ways}"
        require(names <= set(folders), either)
    return by_folders(branch, sure=layout == "classes")

"""Folders that are classes, and what speaks against that."""

from collections import defaultdict

from srat.core.errors import require
from srat.core.words import counted, few
from srat.data.image_folder.branches import filled, shortcomings, speaks_of_images
from srat.data.image_folder.class_doubts import require_no_doubt
from srat.data.image_folder.labelled import Labelled, LayoutName
from srat.data.image_folder.naming import normal
from srat.data.image_folder.scan import Branch


def by_folders(branch: Branch, *, sure: bool, answer: LayoutName) -> Labelled:
    """Return the images of a folder with a folder for each class.

    Args:
        branch: the folder.
        sure: whether the user has said that its folders are the classes.
        answer: the layout that says so.

    Raises:
        UserError: if there is no folder, or it is not clear whether they are classes.
    """
    _require_folders(branch)
    empty = [_why_empty(each) for each in branch.folders if not each.all_images]
    if not sure and not empty:
        require_no_doubt(branch, answer)
    same: dict[str, list[Branch]] = defaultdict(list)
    for folder in branch.folders:
        same[normal(folder.name)].append(folder)
    return Labelled(
        branch=branch,
        files={name: sorted(path for each in alike for path in each.all_images) for name, alike in same.items()},
        notes=(*_alike_notes(same), *_nested_notes(branch)),
        problem=f"{branch.path}: no image in class {', '.join(empty)}" if empty else "",
    )


def _alike_notes(same: dict[str, list[Branch]]) -> list[str]:
    differ = "folders, whose names differ in the form of their accents alone"
    return [f"the class '{name}' has {len(alike)} {differ}" for name, alike in same.items() if len(alike) > 1]


def _nested_notes(branch: Branch) -> list[str]:
    """Return what is to be said of classes whose images lie in folders below them."""
    deep = [each for each in branch.folders if filled(each) and not each.images]
    below = few([f"{each.name}/{one.name}" for each in deep for one in filled(each)])
    read = "the folders below a class are read as part of it"
    return [f"{read}: {below}"] if deep else []


def _require_folders(branch: Branch) -> None:
    """Raise ``UserError`` if a folder has no folders that could be classes, with what there is."""
    full, loose = filled(branch), len(branch.images)
    tabled = bool(_misplaced(branch)) or speaks_of_images(branch)
    alone = f"one folder with images ({few([each.name for each in full])})"
    there = alone if full else "no folder" + " with images" * bool(branch.folders)
    others = sorted({each.why for each in branch.passed if each.kind != "hidden"}) if not branch.folders else []
    found = there + f"; {counted(loose, 'image lies', 'images lie')} loose in it" * bool(loose)
    found += shortcomings(branch) + _misplaced(branch) + f"; there are: {few(others)}" * bool(others)
    table = "or a table with columns of file names and classes (`data.file_column`, `data.label_column`)"
    enough = len(full) > 1 or (branch.folders and not tabled and (full or not loose))
    require(bool(enough), f"{branch.path}: expected one folder per class, {table}, found {found}")


def _misplaced(branch: Branch) -> str:
    """Return what is said of tables that lie in folders without an image."""
    tables = [path for each in branch.folders if not each.all_images for path in each.all_tables]
    names = few([path.relative_to(branch.path).as_posix() for path in tables])
    return f"; {names} lies apart: put it into {branch.path}" if tables else ""


def _why_empty(branch: Branch) -> str:
    kinds = sorted({each.why for each in branch.all_passed})
    return branch.name + (f" (there are: {'; '.join(kinds)})" if kinds else "")

"""Folders that are classes, and what speaks against that."""

from collections import defaultdict

from srat.core.errors import require
from srat.core.words import counted, few
from srat.data.image_folder.branches import filled
from srat.data.image_folder.labelled import Labelled
from srat.data.image_folder.naming import PART_WORDS, normal, part_of, words_of
from srat.data.image_folder.scan import Branch
from srat.data.image_folder.table import shortcomings
from srat.data.record import PARTS


def by_folders(branch: Branch, *, sure: bool) -> Labelled:
    """Return the images of a folder with a folder for each class.

    Raises:
        UserError: if there is no folder, one without an image, or parts within the classes.
    """
    _require_folders(branch)
    empty = [_why_empty(each) for each in branch.folders if not each.all_images]
    require(not empty, f"{branch.path}: no image in class {', '.join(empty)}")
    inside = all(not each.images and all(part_of(one.name) for one in each.folders) for each in branch.folders)
    turned = f"{branch.path}: the parts lie within the classes; put the classes within the parts, as in train/{{}}"
    require(sure or not inside, turned.format(branch.folders[0].name))
    if not sure:
        _require_no_doubt(branch)
    same: dict[str, list[Branch]] = defaultdict(list)
    for folder in branch.folders:
        same[normal(folder.name)].append(folder)
    return Labelled(
        branch=branch,
        files={name: sorted(path for each in alike for path in each.all_images) for name, alike in same.items()},
        notes=tuple(
            f"the class '{name}' has {len(alike)} folders, whose names differ in the form of their accents alone"
            for name, alike in same.items()
            if len(alike) > 1
        ),
    )


def _require_folders(branch: Branch) -> None:
    """Raise ``UserError`` if there is no folder in a folder, with what there is."""
    loose = counted(len(branch.images), "image lies loose in it", "images lie loose in it")
    others = sorted({each.why for each in branch.passed if each.why != "hidden"})
    found = f"; {loose}" * bool(branch.images) + shortcomings(branch.tables)
    found += f"; there are: {few(others)}" * bool(others)
    table = "or a table with columns of file names and classes (--data.file-column, --data.label-column)"
    require(bool(branch.folders), f"{branch.path}: expected one folder per class, {table}, found no folder{found}")


def _require_no_doubt(branch: Branch) -> None:
    """Raise ``UserError`` if folders look like something else than classes."""
    ways = "--data.layout classes takes them as classes"
    words = {word for each in branch.folders for word in words_of(each.name)}
    kinds = [part for part in PARTS if words & PART_WORDS[part]]
    names = few([each.name for each in branch.folders])
    require(len(kinds) < 2, f"{branch.path}: the folders {names} may be parts of the data; {ways}")
    inside = [frozenset(normal(one.name) for one in filled(each)) for each in branch.folders]
    loose = any(each.images for each in branch.folders)
    alike = not loose and len(inside) > 1 and len(inside[0]) > 1 and len(set(inside)) == 1
    same = few(sorted(inside[0])) if inside else ""
    said = f"{branch.path}: the folders {names} hold the same folders ({same}): name one of them with --data-dir"
    require(not alike, f"{said}, or {ways}")


def _why_empty(branch: Branch) -> str:
    kinds = sorted({each.why for each in branch.all_passed})
    return branch.name + (f" (there are: {'; '.join(kinds)})" if kinds else "")

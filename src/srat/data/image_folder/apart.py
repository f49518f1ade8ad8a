"""A folder of labelled images that are a test set by themselves, for a model that knows its classes by name."""

from collections.abc import Sequence
from dataclasses import replace

from srat.core.errors import require
from srat.core.words import counted, few
from srat.data.image_folder.branches import descended, filled
from srat.data.image_folder.class_sources import labelled
from srat.data.image_folder.found import Found
from srat.data.image_folder.labelled import Labelled
from srat.data.image_folder.layout import parts_of_folder, passed_over
from srat.data.image_folder.naming import normal, part_of
from srat.data.image_folder.scan import Branch
from srat.data.image_folder.table import Columns


def found_apart(root: Branch, class_names: Sequence[str], *, columns: Columns) -> Found:
    """Return the images of a folder as a test set: its test part, else its validation part, else all of them.

    Classes are those of the model, matched by name; it may know more than the folder has.

    Args:
        root: the folder.
        class_names: the model's classes.
        columns: those of tables.

    Raises:
        UserError: if it is not clear which image is of which class, or the model does not know a class.
    """
    found, where = _read(root, class_names, columns)
    known = {normal(name): label for label, name in enumerate(class_names)}
    odd = [name for name in found.files if normal(name) not in known]
    there = f"the model has {few(class_names)}"
    require(not odd, f"{root.path}: expected classes of the model, got {few(odd)} as well; {there}")
    images = [(path, known[normal(name)]) for name, paths in found.files.items() for path in paths]
    require(bool(images), f"{root.path}: there is no image of a class; {there}")
    lacking = [name for name in class_names if normal(name) not in set(map(normal, found.files))]
    without = f"no image in class {few(lacking)}: its accuracy cannot be measured" if lacking else ""
    return Found(
        place=root.path,
        class_names=tuple(class_names),
        parts={"test": sorted(images)},
        passed=passed_over(root, [found]),
        notes=tuple(filter(None, (where, *found.notes, without))),
    )


def _read(root: Branch, class_names: Sequence[str], columns: Columns) -> tuple[Labelled, str]:
    """Return the labelled images, and which part of the folder they are."""
    known = set(map(normal, class_names))
    tests = [each for each in root.folders if part_of(each.name) == "test" and normal(each.name) not in known]
    alone = not any(normal(each.name) in known for each in filled(root))
    if len(tests) == 1 and alone:
        others = [each.name for each in filled(root) if each is not tests[0]]
        return labelled(descended(tests[0]), columns), f"the images are those in {tests[0].name}" * bool(others)
    parts = parts_of_folder(descended(root), columns, "auto")
    name = next(part for part in ("test", "validation", "train") if part in parts)
    chosen = replace(parts[name], problem="")  # nothing is to be trained on them
    return chosen, f"the images are those of the {name} part, {_size(chosen)}" * (len(parts) > 1)


def _size(part: Labelled) -> str:
    return counted(sum(map(len, part.files.values())), "image")

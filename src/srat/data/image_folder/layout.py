"""How a folder says which image is of which class and part: by folders, by tables, in the ways that people have."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from srat.core.errors import require
from srat.core.words import counted
from srat.data.image_folder.branches import descended, shortcomings
from srat.data.image_folder.class_sources import labelled, parts_by_folders
from srat.data.image_folder.class_tables import parts_by_tables
from srat.data.image_folder.found import Found
from srat.data.image_folder.labelled import Files, Labelled, LayoutName, split_by_name
from srat.data.image_folder.naming import alike_notes, in_order, part_of
from srat.data.image_folder.scan import Branch, Passed
from srat.data.image_folder.table import Columns, shortcoming
from srat.data.record import PARTS, Part
from srat.data.validation import ValidationUse, with_use


def laid_out(
    root: Branch,
    *,
    layout: LayoutName,
    validation: ValidationUse,
    columns: Columns,
    test_fraction: float,
    numbered: bool,
) -> Found:
    """Return the images of a folder as they lie there; a missing test part is drawn.

    Args:
        root: the folder.
        layout: how it is arranged.
        validation: what a validation part is for.
        columns: those of tables.
        test_fraction: share of the images that is drawn.
        numbered: whether classes that are numbers come in the order of numbers.

    Raises:
        UserError: if it is not clear which image is of which class and part; the line says what to do.
    """
    top = descended(root)
    there = parts_of_folder(top, columns, layout)
    used = _with_use(there, validation, root.path)
    classes = used["train"].files
    names = in_order(classes) if numbered else tuple(sorted(classes))
    files = {part: each.files for part, each in used.items()}
    own_test = "test" in files
    drawn = files if own_test else files | split_by_name(classes, test_fraction)
    placed = {part: _numbered(drawn[part], names) for part in PARTS if part in drawn}
    deeper = () if top is root else (f"the classes are those of {top.path}",)
    read = (note for each in used.values() for note in each.notes)
    said = dict.fromkeys([*deeper, *read, *alike_notes(classes)])
    return Found(
        place=root.path,
        class_names=names,
        parts=placed,
        passed=passed_over(root, list(there.values())),
        notes=(*said, *(() if own_test else (_drawn_note(placed),))),
        own_test=own_test,
        problems=tuple(dict.fromkeys(each.problem for each in used.values() if each.problem)),
    )


def parts_of_folder(top: Branch, columns: Columns, layout: LayoutName) -> dict[Part, Labelled]:
    """Return the images by part; where the folder has no parts of its own, all of them as training."""
    parts = None
    if layout in ("auto", "table"):
        parts = parts_by_tables(top, columns)
    if parts is None and layout in ("auto", "parts"):
        parts = parts_by_folders(top, columns, sure=layout == "parts")
    return parts or {"train": _training(top, columns, layout)}


def _drawn_note(parts: Mapping[Part, Sequence[tuple[Path, int]]]) -> str:
    """Return what is to be said of a test that is drawn."""
    of = f"of {sum(map(len, parts.values())):,} images"
    drawn = counted(len(parts["test"]), f"{of} is the test", f"{of} are the test")
    return f"{drawn}, drawn by the hashes of the files' names"


def _numbered(files: Files, names: Sequence[str]) -> list[tuple[Path, int]]:
    return [(path, label) for label, name in enumerate(names) for path in files.get(name, ())]


def _training(top: Branch, columns: Columns, layout: LayoutName) -> Labelled:
    """Return the images of a folder without parts.

    Raises:
        UserError: if a table says their classes that is called after another part.
    """
    found = labelled(top, columns, layout, sure=layout == "classes")
    odd = [path.name for path in found.tables if part_of(path.stem) not in (None, "train")]
    lacking = f"{top.path}: expected a table for training, got only {', '.join(odd)}{shortcomings(top)}"
    require(not odd, lacking)
    return found


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


def passed_over(root: Branch, labelled: Sequence[Labelled]) -> tuple[Passed, ...]:
    """Return everything in a folder that is not among the labelled images, nor a table of theirs."""
    used = {path for each in labelled for paths in each.files.values() for path in paths}
    tables = {path for each in labelled for path in each.tables}
    said = {path: why for each in labelled for path, why in each.left_each.items()}
    idle = [path for path in root.all_tables if path not in tables]
    left = [path for path in root.all_images if path not in used]
    why = {path: said.get(path) or shortcoming(path) or "table that is not used" for path in idle}
    why |= {path: said.get(path) or _why_left(path, labelled) for path in left}
    return (*root.all_passed, *(Passed(path=path, kind="unused", why=each) for path, each in why.items()))


def _why_left(path: Path, labelled: Sequence[Labelled]) -> str:
    """Return why an image is not among the labelled ones."""
    around = (each.left for each in labelled if path.is_relative_to(each.branch.path))
    return next(around, "beside the parts")

"""How a folder says which image is of which class and part: by folders, by tables, in the ways that people have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from srat.core.errors import require
from srat.data.image_folder.branches import descended
from srat.data.image_folder.class_sources import labelled, parts_by_folders
from srat.data.image_folder.class_tables import parts_by_tables
from srat.data.image_folder.labelled import Files, Labelled, LayoutName
from srat.data.image_folder.naming import alike_notes, in_order, part_of
from srat.data.image_folder.scan import Branch, Passed
from srat.data.image_folder.table import Columns, shortcoming, shortcomings
from srat.data.record import Part
from srat.data.validation import ValidationUse, with_use


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which image of a folder is of which class and part, and what is passed over."""

    parts: Mapping[Part, Files]
    """By part; where the folder has no parts of its own, training alone."""
    passed: tuple[Passed, ...] = ()
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = field(init=False)
    """The classes of the training part, in the order of their labels."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", in_order(self.parts["train"]))


def lay_out(root: Branch, *, layout: LayoutName, validation: ValidationUse, columns: Columns) -> Layout:
    """Return which image of a folder is of which class and part.

    Args:
        root: the folder.
        layout: how it is arranged.
        validation: what a validation part is for.
        columns: those of tables.

    Raises:
        UserError: if that is not clear; the line says what to do.
    """
    top = descended(root)
    parts = None
    if layout in ("auto", "table"):
        parts = parts_by_tables(top, columns)
    if parts is None and layout in ("auto", "parts"):
        parts = parts_by_folders(top, columns, sure=layout == "parts")
    if parts is None:
        parts = {"train": _training(top, columns, layout)}
    used = _with_use(parts, validation, root.path)
    deeper = (f"the classes are those of {top.path}",) if top is not root else ()
    read = (note for each in used.values() for note in each.notes)
    return Layout(
        parts={part: each.files for part, each in used.items()},
        passed=_passed(root, list(parts.values())),
        notes=tuple(dict.fromkeys([*deeper, *read, *alike_notes(used["train"].files)])),
    )


def _training(top: Branch, columns: Columns, layout: LayoutName) -> Labelled:
    """Return the images of a folder without parts.

    Raises:
        UserError: if a table says their classes that is called after another part.
    """
    found = labelled(top, columns, layout)
    odd = [path.name for path in found.tables if part_of(path.stem) not in (None, "train")]
    lacking = f"{top.path}: expected a table for training, got only {', '.join(odd)}{shortcomings(top.tables)}"
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


def _passed(root: Branch, labelled: Sequence[Labelled]) -> tuple[Passed, ...]:
    """Return everything in a folder that is not among the labelled images, nor a table of theirs."""
    used = {path for each in labelled for paths in each.files.values() for path in paths}
    tables = {path for each in labelled for path in each.tables}
    said = {path: why for each in labelled for path, why in each.left_each.items()}
    idle = [path for path in root.all_tables if path not in tables]
    left = [path for path in root.all_images if path not in used]
    return (
        *root.all_passed,
        *(Passed(path=path, why=said.get(path) or shortcoming(path) or "table that is not used") for path in idle),
        *(Passed(path=path, why=said.get(path) or _why_left(path, root, labelled)) for path in left),
    )


def _why_left(path: Path, root: Branch, labelled: Sequence[Labelled]) -> str:
    """Return why an image is not among the labelled ones."""
    around = next((each.left for each in labelled if path.is_relative_to(each.branch.path)), None)
    parts = (parent.name for parent in path.relative_to(root.path).parents if part_of(parent.name))
    unsaid = next((f"in {name}, where nothing says the classes" for name in parts), None)
    return around or unsaid or "beside the parts"

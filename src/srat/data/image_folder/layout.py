"""How a folder says which image is of which class and part: by folders, by tables, in the ways that people have."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from srat.core.errors import require
from srat.core.words import counted
from srat.data.group_draw import unmet
from srat.data.image_folder.branches import descended, shortcomings
from srat.data.image_folder.class_sources import labelled, parts_by_folders
from srat.data.image_folder.class_tables import parts_by_tables
from srat.data.image_folder.found import Found, Hints
from srat.data.image_folder.grouping import Grouping, Groups, group_notes, shared_group_notes
from srat.data.image_folder.labelled import Files, Labelled, LayoutName, split_by_group, split_by_name, wanted_counts
from srat.data.image_folder.naming import alike_notes, in_order, part_of
from srat.data.image_folder.patterns import side_notes
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
    grouping: Grouping | None = None,
) -> Found:
    """Return the images of a folder as they lie there; a missing test part is drawn.

    Args:
        root: the folder.
        layout: how it is arranged.
        validation: what a validation part is for.
        columns: those of tables.
        test_fraction: share of the images that is drawn.
        numbered: whether classes that are numbers come in the order of numbers.
        grouping: what says which images belong together, and are drawn together.

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
    groups = {} if grouping is None else grouping.of_training(used["train"])
    drawn = files if own_test else files | _drawn(classes, groups, test_fraction)
    placed = {part: _numbered(drawn[part], names) for part in PARTS if part in drawn}
    deeper = () if top is root else (f"the classes are those of {top.path}",)
    read = (note for each in used.values() for note in each.notes)
    beside = side_notes([path for paths in classes.values() for path in paths])
    said = dict.fromkeys([*deeper, *read, *alike_notes(classes), *beside])
    return Found(
        place=root.path,
        class_names=names,
        parts=placed,
        passed=passed_over(root, list(there.values())),
        notes=(
            *said,
            *(_group_notes(grouping, groups, used) if grouping else ()),
            *(() if own_test else _drawn_notes(placed, names, groups, test_fraction)),
        ),
        own_test=own_test,
        groups=_all_groups(grouping, groups, used) if grouping else {},
        hints=_hints(used["train"]),
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


def _drawn(files: Files, groups: Groups, test_fraction: float) -> dict[Part, Files]:
    """Return training and test of images without parts."""
    return split_by_group(files, groups, test_fraction) if groups else split_by_name(files, test_fraction)


def _all_groups(grouping: Grouping, groups: Groups, used: Mapping[Part, Labelled]) -> Groups:
    """Return the groups of training images, and of those in parts of their own as far as something says them."""
    others = (grouping.of_others(each) for part, each in used.items() if part != "train")
    return {path: group for some in (groups, *others) for path, group in some.items()}


def _group_notes(grouping: Grouping, groups: Groups, used: Mapping[Part, Labelled]) -> Iterator[str]:
    """Yield what is to be said of groups."""
    yield from group_notes(groups.values(), grouping.said)
    for part, each in used.items():
        if part != "train":
            yield from shared_group_notes(groups.values(), grouping.of_others(each).values(), part)


def _drawn_notes(
    parts: Mapping[Part, Sequence[tuple[Path, int]]], names: Sequence[str], groups: Groups, test_fraction: float
) -> Iterator[str]:
    """Yield what is to be said of a test that is drawn."""
    of = f"of {sum(map(len, parts.values())):,} images"
    drawn = counted(len(parts["test"]), f"{of} is the test", f"{of} are the test")
    if not groups:
        yield f"{drawn}, drawn by the hashes of the files' names"
        return
    yield f"{drawn}, drawn as {counted(len({groups[path] for path, _ in parts['test']}), 'whole group')}"
    held, left = (Counter(label for _, label in parts[part]) for part in ("test", "train"))
    total = [held[label] + left[label] for label in range(len(names))]
    told = unmet(names, [held[label] for label in range(len(names))], total, wanted_counts(total, test_fraction))
    if told:
        yield f"`data.test_fraction` {test_fraction} cannot be met in each class, as groups stay whole: {told}"


def _hints(train: Labelled) -> dict[Path, Hints]:
    paths = (path for paths in train.files.values() for path in paths)
    return {path: Hints(name=train.below(path), row=train.rows.get(path, {})) for path in paths}


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

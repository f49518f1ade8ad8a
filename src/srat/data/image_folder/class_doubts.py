"""What speaks against taking folders as classes: names of parts, parts within them, folders of their own."""

from srat.core.errors import require
from srat.core.words import few
from srat.data.image_folder.branches import descended, filled
from srat.data.image_folder.labelled import LayoutName
from srat.data.image_folder.naming import PART_WORDS, is_take, normal, part_of, words_of
from srat.data.image_folder.scan import Branch
from srat.data.record import PARTS


def require_no_doubt(branch: Branch, answer: LayoutName) -> None:
    """Raise ``UserError`` if the folders in a folder may be something else than classes.

    Args:
        branch: the folder.
        answer: the layout that takes them as classes all the same.
    """
    _require_no_parts_inside(branch, answer)
    words = {word for each in branch.folders for word in words_of(each.name)}
    kinds = [part for part in PARTS if words & PART_WORDS[part]]
    names = few([each.name for each in branch.folders])
    may_be = f"{branch.path}: the folders {names} may be parts of the data"
    require(len(kinds) < 2, f"{may_be}; `data.layout` {answer} takes them as classes")
    _require_not_nested(branch, answer)


def _require_no_parts_inside(branch: Branch, answer: LayoutName) -> None:
    """Raise ``UserError`` if there are folders of images within the classes that are called after parts."""
    inside = [
        one.path.relative_to(branch.path).as_posix()
        for each in branch.folders
        for one in each.walk()
        if one is not each and one.all_images and part_of(one.name)
    ]
    said = f"{branch.path}: the parts lie within the classes ({few(inside)}); put the classes within the parts, as in "
    first = inside[0].split("/")[0] if inside else ""
    require(not inside, f"{said}train/{first}, or `data.layout` {answer} reads each class as a whole")


def _require_not_nested(branch: Branch, answer: LayoutName) -> None:
    """Raise ``UserError`` if the images of a folder are in folders that may be the classes themselves."""
    below = {each.name: _may_be_classes(each) for each in branch.folders}
    deep = {name: folders for name, folders in below.items() if folders}
    takes = f"`data.layout` {answer} takes {few([*below])} as the classes"
    sets = {frozenset(map(normal, folders)) for folders in deep.values()}
    same = few(sorted(map(str, next(iter(sets), ()))))
    alike = len(deep) == len(below) > 1 and len(sets) == 1
    said = (
        f"{branch.path}: the folders {few([*below])} hold the same folders ({same}): name one of them with `data.dir`"
    )
    require(not alike, f"{said}, or {takes}")
    first, folders = next(iter(deep.items()), ("", []))
    own = f"{branch.path}: {first} holds several folders of images ({few(folders)}), which may be the classes"
    require(not deep, f"{own}: put the folders of all classes side by side, or {takes}")


def _may_be_classes(folder: Branch) -> list[str]:
    """Return the names of the folders in a folder that may be classes: several, with most of the images."""
    inner = descended(folder)
    below = [each for each in filled(inner) if not is_take(each.name)]
    most = sum(len(each.all_images) for each in below) > len(inner.images)
    return [each.name for each in below] if most and len(below) > 1 else []

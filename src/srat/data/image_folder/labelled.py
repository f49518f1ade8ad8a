"""Images with their classes, and their split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from srat.data.image_folder.naming import name_share
from srat.data.image_folder.scan import Branch
from srat.data.record import Part

Files = Mapping[str, Sequence[Path]]
"""The images of each class."""
LayoutName = Literal["auto", "parts", "classes", "table"]
"""Found by looking; parts, with a folder per class in each; a folder per class; a table of files and classes."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Images with their classes, and their split."""

    branch: Branch
    """The folder that they are in."""
    files: Files
    tables: frozenset[Path] = frozenset()
    """The tables that say their classes."""
    left: str = "beside the class folders"
    """Why other images in the folder are not among them."""
    left_each: Mapping[Path, str] = field(default_factory=dict)
    """The same of files of which it is another reason."""
    notes: tuple[str, ...] = ()
    problem: str = ""
    """Why nothing can be trained on them; "" if nothing is known to be in the way."""


def also_left(
    parts: Mapping[Part, Labelled], left: Mapping[Path, str], notes: Sequence[str] = ()
) -> dict[Part, Labelled]:
    """Return parts, with more files that are not among them, each with the reason, and what is to be said of them."""
    train = parts["train"]
    more = replace(train, left_each={**train.left_each, **left}, notes=(*train.notes, *notes))
    return {**parts, "train": more}


def split_by_name(files: Files, test_fraction: float) -> dict[Part, Files]:
    """Return training and test of images without parts: an image is of the test if its name's hash says so.

    That depends on its own file's name alone, so that images which come later move none.

    Args:
        files: the images of each class.
        test_fraction: the share of all names that are of the test.
    """
    is_test = {path: name_share(path) < test_fraction for paths in files.values() for path in paths}
    return {
        "train": {name: [path for path in paths if not is_test[path]] for name, paths in files.items()},
        "test": {name: [path for path in paths if is_test[path]] for name, paths in files.items()},
    }

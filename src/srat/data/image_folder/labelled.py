"""Images with their classes, and their split."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from srat.data.group_draw import drawn_groups
from srat.data.image_folder.naming import name_share
from srat.data.image_folder.scan import Branch
from srat.data.record import Part, hashed_share

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
    rows: Mapping[Path, Mapping[str, str]] = field(default_factory=dict)
    """What those say of each image, by column."""
    left: str = "beside the class folders"
    """Why other images in the folder are not among them."""
    left_each: Mapping[Path, str] = field(default_factory=dict)
    """The same of files of which it is another reason."""
    notes: tuple[str, ...] = ()
    problem: str = ""
    """Why nothing can be trained on them; "" if nothing is known to be in the way."""

    @property
    def columns(self) -> list[str]:
        """The columns of the tables."""
        return list(dict.fromkeys(column for row in self.rows.values() for column in row))

    def below(self, path: Path) -> str:
        """Return an image's name below its class's folder; where a table says the classes, below the images' folder."""
        inner = path.relative_to(self.branch.path)
        return inner.as_posix() if self.tables else "/".join(inner.parts[1:])


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
    return _parted(files, {path for paths in files.values() for path in paths if name_share(path) < test_fraction})


def split_by_group(files: Files, groups: Mapping[Path, str], test_fraction: float) -> dict[Part, Files]:
    """Return training and test of images without parts: groups stay whole, drawn in the order of their names' hashes.

    A group that comes later moves at most those at the border between the parts.

    Args:
        files: the images of each class.
        groups: that of each image.
        test_fraction: the share of each class that is to be of the test.
    """
    images = [(path, label) for label, paths in enumerate(files.values()) for path in paths]
    counts = [len(paths) for paths in files.values()]
    drawn = drawn_groups(
        ((groups[path], label) for path, label in images),
        order=sorted({groups[path] for path, _ in images}, key=lambda group: (hashed_share(group), group)),
        wanted=dict(enumerate(wanted_counts(counts, test_fraction))),
        most={label: count - 1 for label, count in enumerate(counts)},
    )
    return _parted(files, {path for path, _ in images if groups[path] in drawn})


def wanted_counts(counts: Sequence[int], test_fraction: float) -> list[int]:
    """Return how many images of each class are to be of the test; one at the least.

    Args:
        counts: images of each class.
        test_fraction: share of them.
    """
    return [max(1, round(test_fraction * count)) for count in counts]


def _parted(files: Files, test: Set[Path]) -> dict[Part, Files]:
    return {
        "train": {name: [path for path in paths if path not in test] for name, paths in files.items()},
        "test": {name: [path for path in paths if path in test] for name, paths in files.items()},
    }

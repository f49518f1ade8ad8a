"""Which images of a folder belong together, as the frames of a recording do."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from srat.core.errors import UserError, require_field
from srat.core.words import counted, few
from srat.data.image_folder.labelled import Labelled
from srat.data.image_folder.naming import normal
from srat.data.looks import looks_of_thumbnails
from srat.data.near_twins import mutual_twins, takes

FOUND = "found"
"""What asks for groups by near twins."""
COLUMN = "column:"
"""What stands before the column of a table that says the groups."""
EACH_ALONE = "|.+"
"""What a pattern takes behind it, so that an image whose name it does not match is a group of its own."""
Groups = Mapping[Path, str]
"""The group of each image; a name is of one group in the whole folder."""
Thumbnails = Callable[[Sequence[Path]], Sequence[bytes]]
"""Files → a small grey copy of each."""


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """What says which images belong together: a pattern, a column, or what they look like."""

    said: str
    """As the user has it."""
    thumbnails: Thumbnails

    @property
    def column(self) -> str | None:
        """The column of a table that says the groups, if one does."""
        return column_of(self.said)

    def of_training(self, labelled: Labelled) -> Groups:
        """Return the group of each image of a part of which others are drawn.

        Args:
            labelled: the images.

        Raises:
            UserError: if an image has none.
        """
        groups = self._found(labelled) if self.said == FOUND else self.of_others(labelled)
        lacking = [path for paths in labelled.files.values() for path in paths if path not in groups]
        if lacking:
            raise UserError(f"{labelled.branch.path}: `data.group` '{self.said}': {self._why(labelled, lacking)}")
        return groups

    def of_others(self, labelled: Labelled) -> Groups:
        """Return the groups of images of a part of its own, as far as something says them."""
        if self.said == FOUND:
            return {}
        if self.column is not None:
            cells = {path: row.get(self.column, "").strip() for path, row in labelled.rows.items()}
            return {path: normal(cell) for path, cell in cells.items() if cell}
        pattern = re.compile(self.said)
        found = {
            path: (name, pattern.search(labelled.below(path)))
            for name, paths in labelled.files.items()
            for path in paths
        }
        return {path: f"{name}/{_matched(match)}" for path, (name, match) in found.items() if match}

    def _found(self, labelled: Labelled) -> Groups:
        """Return groups of images that are joined by near twins; each is called after its first image."""
        files = [(path, label) for label, paths in enumerate(labelled.files.values()) for path in paths]
        if not files:
            return {}
        looks = looks_of_thumbnails(self.thumbnails([path for path, _ in files]))
        numbers = takes(len(files), mutual_twins(looks, torch.tensor([label for _, label in files])))
        first: dict[int, str] = {}
        for (path, _), number in zip(files, numbers, strict=True):
            first.setdefault(number, path.relative_to(labelled.branch.path).as_posix())
        return {path: first[number] for (path, _), number in zip(files, numbers, strict=True)}

    def _why(self, labelled: Labelled, lacking: Sequence[Path]) -> str:
        """Return why images have no group, and what to do."""
        total = sum(map(len, labelled.files.values()))
        names = few([labelled.below(path) for path in lacking])
        of = f"of {total:,} names"
        if self.column is None:
            one = counted(len(lacking), f"{of} is not matched", f"{of} are not matched")
            return f"{one} ({names}); '{self.said}{EACH_ALONE}' makes each of them a group of its own"
        if not labelled.tables:
            return "folders say the classes here, and a column is one of the table that says them"
        there = ", ".join(labelled.columns) or "none"
        if self.column not in labelled.columns:
            return f"no column '{self.column}'; there are: {there}"
        one = counted(len(lacking), f"of {total:,} images has", f"of {total:,} images have")
        return f"{one} no value in that column, or several ({names})"


def column_of(said: str) -> str | None:
    """Return the column that `data.group` names, if it names one."""
    return said.removeprefix(COLUMN) if said.startswith(COLUMN) else None


def check_group(said: str) -> None:
    """Raise ``UserError`` unless a text can be `data.group`."""
    expected = f"a regular expression on images' names, {COLUMN}NAME or {FOUND}"
    require_field(said not in ("", COLUMN), "data.group", expected, said)
    if column_of(said) is None:
        try:
            re.compile(said)
        except (re.error, OverflowError, RecursionError) as error:
            raise UserError(f"`data.group`: expected {expected}, got '{said}' ({error})") from error


def group_notes(groups: Iterable[str], said: str) -> list[str]:
    """Return what is to be said of the groups of training images.

    Args:
        groups: of each image.
        said: what says them.
    """
    each = list(groups)
    number = len(set(each))
    if number == len(each):
        return [f"`data.group` '{said}' makes each of {len(each):,} images a group of its own: it changes nothing"]
    return [f"`data.group` '{said}' makes {counted(number, 'group')} of {len(each):,} images"]


def shared_group_notes(train: Iterable[str], others: Iterable[str], part: str) -> list[str]:
    """Return what is to be said of groups of which images are in a part of the folder's own, too."""
    shared = sorted(set(train) & set(others))
    said = counted(len(shared), "group has", "groups have")
    return [f"{said} images both in training and in the folder's own {part} ({few(shared)})"] if shared else []


def _matched(match: "re.Match[str]") -> str:
    """Return what names a group: the first part in parentheses, or all that matched where it has no share in it."""
    inner = match.group(1) if match.re.groups else None
    return normal(match.group() if inner is None else inner)

"""Which images of a folder are of which class and part."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from srat.core.errors import UserError, require
from srat.core.words import few
from srat.data.image_folder.naming import normal
from srat.data.image_folder.scan import Passed
from srat.data.record import Part


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What may say to which group an image belongs."""

    name: str
    """Its name below the folder of its class, or below the images' folder where a table says the classes."""
    row: Mapping[str, str]
    """What the table says of it, by column."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The images of a folder by part and class."""

    place: Path
    class_names: tuple[str, ...]
    parts: Mapping[Part, Sequence[tuple[Path, int]]]
    """Each image with its label."""
    passed: tuple[Passed, ...] = ()
    """Files that are not read."""
    notes: tuple[str, ...] = ()
    missing: Mapping[Part, Sequence[str]] = field(default_factory=dict)
    """Recorded images that are gone or changed."""
    new: tuple[Path, ...] = ()
    """Images that came since a run recorded its own, and are no copies of those."""
    own_test: bool = True
    """Whether the test is a part of the folder's own, and not drawn."""
    groups: Mapping[Path, str] = field(default_factory=dict)
    """The group of each training image, and of others as far as it is known; none where images are not grouped."""
    hints: Mapping[Path, Hints] = field(default_factory=dict)
    """What may say the group of each training image, and of a drawn test."""
    problems: tuple[str, ...] = ()
    """Why nothing can be trained on them as they lie there."""

    @property
    def paths(self) -> list[Path]:
        """All images."""
        return [path for images in self.parts.values() for path, _ in images]

    @property
    def classes(self) -> dict[Path, str]:
        """The class of each image."""
        return {path: self.class_names[label] for images in self.parts.values() for path, label in images}

    def name(self, path: Path) -> str:
        """Return what an image is called in a record: its path below the folder."""
        return path.relative_to(self.place).as_posix()


def whole(found: Found) -> Found:
    """Return the images of a folder if it is known of nothing that it is in the way of a training.

    Raises:
        UserError: if something is; it names all.
    """
    require(not found.problems, "; ".join(found.problems))
    return found


def check_drawn(found: Found, test_fraction: float) -> tuple[str, ...]:
    """Return what is to be said of classes without a test image.

    Raises:
        UserError: if a class has no image for training, or the test none at all.
    """
    counts = {part: [0] * len(found.class_names) for part in ("train", "test")}
    for part, each in counts.items():
        for _, label in found.parts[part]:  # type: ignore[index]
            each[label] += 1
    if found.groups and not found.own_test and not any(counts["test"]):
        raise UserError(
            f"{found.place}: no test can be drawn: `data.group` makes one group of each class, which stays whole"
        )
    why = "" if found.own_test else f": `data.test_fraction` {test_fraction} draws by the hash of each file's name"
    untrained = _of(found.class_names, counts["train"])
    fails = untrained or not any(counts["test"])
    hopeless = "no test can be drawn, as each class has one image, or several of one name; add some, or a folder test"
    require(found.own_test or not fails or _names_differ(found), f"{found.place}: {hopeless}")
    smaller = "; a smaller one may help" if why else ""
    require(not untrained, f"{found.place}: no training image in class {', '.join(untrained)}{why}{smaller}")
    larger = "; a larger one may help" if why else ""
    require(any(counts["test"]), f"{found.place}: no image is in the test{why}{larger}")
    untested = _of(found.class_names, counts["test"])
    return (f"no test image in class {few(untested)}: its accuracy cannot be measured",) if untested else ()


def _names_differ(found: Found) -> bool:
    """Return whether any class has images of several names."""
    names = {(label, normal(path.name)) for part in ("train", "test") for path, label in found.parts[part]}
    return max(Counter(label for label, _ in names).values(), default=0) > 1


def _of(names: Sequence[str], counts: Sequence[int]) -> list[str]:
    return [name for name, count in zip(names, counts, strict=True) if count == 0]

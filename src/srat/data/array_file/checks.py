"""Which classes of an .npz file lack images for training or test, and what can be done about it."""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch

from srat.core.errors import require
from srat.core.words import NAMED, few, number
from srat.data.array_file.rows import Positions, Rows
from srat.data.record import OF_PART, Part


def check_trained(rows: Rows, parts: Mapping[Part, Positions], chosen: Sequence[int]) -> None:
    """Raise ``UserError`` if the training part of a file has no image of a class; where it may have is said.

    Args:
        rows: the images.
        parts: those of each part.
        chosen: labels of the classes that are used; all if there are none.
    """
    lacking = without_image(rows, parts["train"], chosen)
    low, high = int(rows.labels.min()), int(rows.labels.max())
    strays = low < 0 or (high >= len(rows.class_names) and low != 1)  # reported when they are read
    elsewhere = {part: _among(rows, positions, lacking) for part, positions in parts.items()}
    others = [
        f"; the {OF_PART[part]} part has class {few_classes(names)}" for part, names in elsewhere.items() if names
    ]
    why = "; the labels begin at 1: subtract 1" if low == 1 else "".join(others)
    require(not lacking or strays, f"{rows.place}: no training image in class {few_classes(lacking)}{why}")


def check_drawn(rows: Rows, parts: Mapping[Part, Positions], test_fraction: float, chosen: Sequence[int]) -> None:
    """Raise ``UserError`` if a class has no image for training, or the drawn test has none at all."""
    untrained = without_image(rows, parts["train"], chosen)
    tested = len(without_image(rows, parts["test"], chosen)) < len(_used(rows, chosen))
    hopeless = f"{rows.place}: no test can be drawn, as all images of a class are alike; put test images into the file"
    require((tested and not untrained) or _differ(rows, torch.cat((parts["train"], parts["test"]))), hopeless)
    drawn = f"`data.test_fraction` {number(test_fraction, 0, 1)} draws the test by the hash of each image's content"
    said = f"{rows.place}: no training image in class {few_classes(untrained)}: {drawn}; a smaller one may help"
    require(not untrained, said)
    advice = "a larger one may help, or test images in the file"
    require(tested, f"{rows.place}: no image is in the test: {drawn}; {advice}")


def without_image(rows: Rows, positions: Positions, chosen: Sequence[int]) -> list[str]:
    """Return the names of the classes, of those that are used, that have no image at these positions."""
    there = set(rows.labels[positions].tolist())
    return [rows.class_names[label] for label in _used(rows, chosen) if label not in there]


def few_classes(names: Sequence[str]) -> str:
    """Return the first names of classes, and how many there are if those are not all."""
    return few(names) + (f" ({len(names):,} classes)" if len(names) > NAMED else "")


def _differ(rows: Rows, positions: Positions) -> bool:
    """Return whether any class has images of several contents."""
    contents = {(int(rows.labels[position]), rows.digests[position]) for position in positions.tolist()}
    return max(Counter(label for label, _ in contents).values(), default=0) > 1


def _among(rows: Rows, positions: Positions, names: Sequence[str]) -> list[str]:
    """Return which of these classes have images at these positions."""
    there = set(rows.labels[positions].tolist())
    return [name for label, name in enumerate(rows.class_names) if label in there and name in names]


def _used(rows: Rows, chosen: Sequence[int]) -> Sequence[int]:
    """Return the labels of the classes that are used."""
    classes = range(len(rows.class_names))
    return [label for label in chosen if label in classes] or classes

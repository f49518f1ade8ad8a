"""Which arrays of a file are whose: by their names, in the spellings that people use."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from srat.core.errors import UserError, require
from srat.core.words import few
from srat.data.record import PARTS, Part

_PART_WORDS: Mapping[Part, str] = {
    "train": "train|training",
    "validation": "val|valid|validation|validate|dev",
    "test": "test|testing",
}
_IMAGE_WORDS = ("images", "image", "imgs", "img", "x", "data")
_LABEL_WORDS = ("labels", "label", "y", "targets", "target")
"""The first of them that is there counts: a file with images and data has its images in the former."""
_PART, _WORD = "|".join(_PART_WORDS.values()), "|".join((*_IMAGE_WORDS, *_LABEL_WORDS))
_FORMS = [
    re.compile(form, re.IGNORECASE)
    for form in (rf"((?P<part>{_PART})[\W_]*)?(?P<word>{_WORD})", rf"(?P<word>{_WORD})[\W_]*(?P<part>{_PART})")
]
_PLAIN = re.compile(r"(train|test|val|valid|validation)_(images|labels)")
"""Spellings of which nothing is said."""
_EXAMPLES = "train_images with train_labels, x_train with y_train, or images with labels"
CLASS_NAMES = "class_names"
OF_VERSION_0_1 = ("train_images", "train_labels", "test_images", "test_labels", CLASS_NAMES)
"""The names that version 0.1 knew."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The names of two arrays: images, and their labels."""

    images: str
    labels: str

    def __iter__(self) -> Iterator[str]:
        return iter((self.images, self.labels))


def pairs_of(names: Sequence[str]) -> dict[Part, Pair]:
    """Return the arrays of each part that there is.

    Args:
        names: those of all arrays of a file. Arrays that name no part, such as images and labels, are the training
            part where no others are.

    Raises:
        UserError: if there is no training part, or images of a part without labels, or the reverse.
    """
    images, labels = _by_part(names, _IMAGE_WORDS), _by_part(names, _LABEL_WORDS)
    there = ", ".join(names) or "no arrays"
    wanted = f"there is no train_images, train_labels; expected {_EXAMPLES}; there are: {there}"
    require("train" in images or "train" in labels, wanted)
    parts = [part for part in PARTS if part in images or part in labels]
    for part in parts:
        for kind, these, others in (("labels", labels, images), ("images", images, labels)):
            if part not in these:
                raise UserError(f"there is no {part}_{kind} beside {others[part]}; there are: {there}")
    return {part: Pair(images=images[part], labels=labels[part]) for part in parts}


def naming_notes(pairs: Mapping[Part, Pair], names: Sequence[str]) -> Iterator[str]:
    """Yield what is to be said of how arrays are named, and of those that are not used.

    Args:
        pairs: the arrays of each part.
        names: those of all arrays of the file.
    """
    understood = [
        f"{pair.images} and {pair.labels} are read as the {part} part"
        for part, pair in pairs.items()
        if not all(map(_PLAIN.fullmatch, pair))
    ]
    if understood:
        yield ", ".join(understood)
    used = {CLASS_NAMES, *(name for pair in pairs.values() for name in pair)}
    unused = [name for name in names if name not in used]
    if unused:
        yield f"arrays that are not used: {few(unused)}"


def _by_part(names: Sequence[str], words: Sequence[str]) -> dict[Part, str]:
    """Return the array of each part whose name has the first of ``words`` that any has."""
    read = [(name, said) for name in names if (said := _read(name)) is not None and said[1] in words]
    best: dict[Part | None, str] = {}
    for name, (part, _) in sorted(read, key=lambda each: (words.index(each[1][1]), not _PLAIN.fullmatch(each[0]))):
        best.setdefault(part, name)
    plain = best.pop(None, None)
    found = {part: name for part, name in best.items() if part is not None}
    return found if plain is None else {"train": plain, **found}


def _read(name: str) -> tuple[Part | None, str] | None:
    """Return the part and the word that a name is made of; None if it is made of something else."""
    match = next((match for form in _FORMS if (match := form.fullmatch(name))), None)
    if match is None:
        return None
    said = (match["part"] or "").lower()
    part = next((part for part, words in _PART_WORDS.items() if said in words.split("|")), None)
    return part, match["word"].lower()

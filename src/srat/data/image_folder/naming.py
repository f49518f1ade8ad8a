"""What names say: of parts, of the order of classes, of the split."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from srat.core.words import few
from srat.data.record import PARTS, Part, hashed_share

PART_WORDS: Mapping[Part, frozenset[str]] = {
    "train": frozenset({"train", "training", "trn"}),
    "validation": frozenset({"val", "valid", "validation", "validate", "dev"}),
    "test": frozenset({"test", "testing", "tst"}),
}
"""Words in the names of folders and tables that say a part.

Not among them are eval and holdout, which some call their validation part and others their test: a folder of such a
name beside the parts is named, and not read.
"""
_FILLERS = frozenset(
    {
        *("seg", "set", "data", "dataset", "images", "image", "imgs", "img", "split", "part", "folder"),
        *("photos", "pictures", "samples", "files"),
    }
)
"""Words beside that of a part in the names of folders and tables: seg_train, test_images, training-set."""
_COMPOUNDS = {
    compound: word
    for words in PART_WORDS.values()
    for word in words
    for filler in _FILLERS
    for compound in (word + filler, filler + word)
}
"""The same written as one word: trainset, testdata."""
_TAKES = frozenset(
    {
        *("track", "session", "visit", "day", "week", "month", "year", "date", "sequence", "seq", "series", "video"),
        *("clip", "shot", "take", "batch", "chunk", "shard", "roll", "scan"),
    }
)
"""Words that, with a number, name a recording: track_12."""
_DATE = re.compile(r"(19|20)\d\d([-_. ]\d\d?){0,2}|(19|20)(\d\d){2,3}|\d\d?[-_. ]\d\d?[-_. ](19|20)\d\d")


def part_of(name: str) -> Part | None:
    """Return the part that a name speaks of: Train, training_set, seg_test, val2017, …; None for other names."""
    words = words_of(name)
    return next((part for part in PARTS if len(words) == 1 and words[0] in PART_WORDS[part]), None)


def words_of(name: str) -> list[str]:
    """Return the words of a name in small letters, without those that say nothing."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = (_COMPOUNDS.get(word, word) for word in re.split(r"[\W_\d]+", spaced.casefold()))
    return [word for word in words if word and word not in _FILLERS]


def is_take(name: str) -> bool:
    """Return whether a name is a date, or that of a numbered recording, and says nothing of a class: track_12."""
    numbered = re.search(r"\d", name) is not None and re.search(r"[^\W\d_]", name) is not None
    return bool(_DATE.fullmatch(name.strip())) or (numbered and _TAKES.issuperset(words_of(name)))


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return class names in the order of their labels: numbers as numbers, then the others by the alphabet."""

    def key(name: str) -> tuple[int, float, str]:
        number = re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", name)
        return (0, float(name), name) if number else (1, 0.0, name)

    return tuple(sorted(names, key=key))


def alike_notes(names: Iterable[str]) -> Iterator[str]:
    """Yield what is to be said of class names that differ only in case, in spaces, or by _, - and space."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in in_order(names):
        alike[re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", normal(name).strip().casefold())].append(f"'{name}'")
    if pairs := [" and ".join(each) for each in alike.values() if len(each) > 1]:
        yield f"class names that differ only in case, spaces, - or _ count as separate classes: {few(pairs)}"


def name_share(path: Path) -> float:
    """Return the number in [0, 1) that follows from a file's name, however its system writes accents."""
    return hashed_share(normal(path.name))


def normal(name: str) -> str:
    """Return a name in one of the forms in which Unicode writes accents."""
    return unicodedata.normalize("NFC", name)

"""What a run keeps of data that can change: which images are in which part, and how they were read."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, Literal, get_args

from srat.core.errors import UserError
from srat.core.files import parse_json, read_bounded
from srat.data.reading.decoding import Mode

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
OF_PART: Mapping[Part, str] = {"train": "training", "validation": "validation", "test": "test"}
"""The word before "images" for those of a part."""
LARGEST_RECORD = 1 << 29
"""Bytes of a record that are read at the most: those of three million images."""
Names = Mapping[str, str]
"""The images of a part by name, each with the digest of its content; "" where that was not recorded."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """The images of a run, by name and content."""

    parts: Mapping[Part, Names] = field(default_factory=dict)
    """By part; none where the folder's own parts were taken and nothing was recorded, as version 0.1 did."""
    others: Names = field(default_factory=dict)
    """Images that lay beside those, and are of no part."""
    class_names: tuple[str, ...] | None = None
    """In the order of the labels; None where that was not recorded: they are in alphabetical order."""
    labels: Mapping[Part, tuple[int, ...]] = field(default_factory=dict)
    """The class of each image of a part, where it does not lie in the images' source."""
    pixels: Mapping[Part, tuple[str, ...]] = field(default_factory=dict)
    """What names the pixels of each image of a part, as the model sees them; "" of images that could not be decoded.
    None of a part where that was not recorded."""
    groups: Mapping[Part, tuple[str, ...]] = field(default_factory=dict)
    """The group of each image of a part, "" of one without; none where images were not grouped."""
    images: Mapping[str, Any] = field(default_factory=dict)
    """How the images were read: mode, height and width, as far as that was recorded."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of the labels; of version 0.1 the folders that the images are in."""
        if self.class_names is not None:
            return self.class_names
        return tuple(sorted({name.split("/")[0] for names in self.parts.values() for name in names}))

    def labels_of(self, part: Part) -> Sequence[int]:
        """Return the class of each image of a part; of version 0.1 that of its folder."""
        if self.labels.get(part):
            return self.labels[part]
        label_of = {name: label for label, name in enumerate(self.classes)}
        return [label_of[name.split("/")[0]] for name in self.parts[part]]

    def pixels_of(self, part: Part) -> Sequence[str]:
        """Return what names the pixels of each image of a part; "" where that was not recorded."""
        return self.pixels.get(part) or [""] * len(self.parts[part])

    def groups_of(self, part: Part) -> Sequence[str]:
        """Return the group of each image of a part; "" where images were not grouped."""
        return self.groups.get(part) or [""] * len(self.parts[part])

    def to_json(self) -> str:
        """Return the contents of split.json."""
        content: dict[str, Any] = {"class_names": self.class_names, "images": self.images}
        content |= {str(part): self._with_classes(part) for part in self.parts}
        content |= {"others": self.others} if self.others else {}
        text = json.dumps(content, indent=1)
        # An image a line.
        return re.sub(r"(?<=\[)\n {3}|\n {2}(?=\])", "", text).replace(",\n   ", ", ") + "\n"

    def _with_classes(self, part: Part) -> Mapping[str, Any]:
        """Return the digest of each image of a part, with class, pixels and group where those are recorded."""
        names, labels = self.parts[part], self.labels.get(part)
        if labels is None:
            return names
        assert self.class_names is not None
        classes = [self.class_names[label] for label in labels]
        entries = [[label, digest] for label, digest in zip(classes, names.values(), strict=True)]
        if self.pixels.get(part) or self.groups.get(part):
            entries = [[*entry, pixels] for entry, pixels in zip(entries, self.pixels_of(part), strict=True)]
        if self.groups.get(part):
            entries = [[*entry, group] for entry, group in zip(entries, self.groups[part], strict=True)]
        return dict(zip(names, entries, strict=True))

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Return what a run's split.json holds; version 0.1 wrote names alone.

        Raises:
            UserError: if it is no such file.
        """
        content = parse_json(read_bounded(path, LARGEST_RECORD), where=path, names=True)
        try:
            names = None if content.get("class_names") is None else tuple(map(str, content["class_names"]))
            parts: dict[Part, dict[str, Any]] = {part: _entries(content[part]) for part in PARTS if part in content}
            if not {"train", "test"} <= parts.keys():
                raise ValueError("expected the images of train and test")
            return cls(
                parts={part: {name: _digest(entry) for name, entry in each.items()} for part, each in parts.items()},
                class_names=names,
                labels={
                    part: tuple((names or ()).index(entry[0]) for entry in each.values())
                    for part, each in parts.items()
                    if each and all(isinstance(entry, list) for entry in each.values())
                },
                pixels=_column(parts, 2),
                groups=_column(parts, 3),
                others={name: _digest(entry) for name, entry in _entries(content.get("others", ())).items()},
                images=_reading(content.get("images", {})),
            )
        except (TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
            raise UserError(f"{path}: not a readable record of a split ({type(error).__name__}: {error})") from error


def file_digest(path: Path) -> str:
    """Return `content_digest` of a file, read block by block.

    Raises:
        UserError: if it cannot be read.
    """
    digest = blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def digest_if_readable(path: Path) -> str:
    """Return `file_digest`; "" if the file cannot be read."""
    try:
        return file_digest(path)
    except UserError:
        return ""


def hashed_share(name: str) -> float:
    """Return a number in [0, 1) that follows from a name alone: the first 64 bits of its SHA-256, over 2⁶⁴."""
    return int.from_bytes(sha256(name.encode("utf-8", "surrogateescape")).digest()[:8]) / 2**64


def _column(parts: Mapping[Part, Mapping[str, Any]], place: int) -> dict[Part, tuple[str, ...]]:
    """Return what stands at a place of each image's entry, of the parts whose entries all have it."""
    return {
        part: tuple(_text(entry[place]) for entry in each.values())
        for part, each in parts.items()
        if each and all(isinstance(entry, list) and len(entry) > place for entry in each.values())
    }


def _entries(content: Any) -> dict[str, Any]:
    entries = dict.fromkeys(map(str, content), "") if isinstance(content, list) else dict(content)
    outside = [name for name in entries if name.startswith("/") or ".." in name.split("/")]
    if outside:
        raise ValueError(f"'{outside[0]}' is outside of the folder")
    return entries


def _reading(content: Any) -> dict[str, Any]:
    reading = dict(content)
    sides = [reading[side] for side in ("height", "width")] if reading else []
    if reading and (reading["mode"] not in get_args(Mode) or not all(type(side) is int and side > 0 for side in sides)):
        raise ValueError(f"images: expected mode, height and width, got {reading}")
    return reading


def _digest(entry: Any) -> str:
    return _text(entry[1] if isinstance(entry, list) else entry)


def _text(digest: Any) -> str:
    if not isinstance(digest, str):
        raise TypeError("expected digests as text")
    return digest

"""What a run keeps of data that can change: which images are in which part, and how they were read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from srat.errors import UserError
from srat.files import parse_json, read_bounded

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
LARGEST_RECORD = 1 << 28
"""Bytes of a record that are read at the most: those of two million images."""
Names = Mapping[str, str]
"""The images of a part by name, each with the digest of its content; "" where that was not recorded."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """The images of a run, by name and content."""

    parts: Mapping[Part, Names] = field(default_factory=dict)
    """By part; none where the folder's own parts were taken and nothing was recorded, as version 0.1 did."""
    class_names: tuple[str, ...] | None = None
    """In the order of the labels; None where that was not recorded: they are in alphabetical order."""
    images: Mapping[str, Any] = field(default_factory=dict)
    """How the images were read: mode, height and width, as far as that was recorded."""

    def to_json(self) -> str:
        """Return the contents of split.json."""
        content: dict[str, Any] = {"class_names": self.class_names, "images": self.images, **self.parts}
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Return what a run's split.json holds; version 0.1 wrote names alone.

        Raises:
            UserError: if it is no such file.
        """
        content = parse_json(read_bounded(path, LARGEST_RECORD), where=path)
        try:
            names = content.get("class_names")
            return cls(
                parts={part: _names(content[part]) for part in PARTS if part in content},
                class_names=None if names is None else tuple(str(name) for name in names),
                images=dict(content.get("images", {})),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: not a readable record of a split ({type(error).__name__}: {error})") from error


def content_digest(content: bytes | memoryview) -> str:
    """Return what names a content in a record: its BLAKE2b, 128 bits in hexadecimal."""
    return blake2b(content, digest_size=16).hexdigest()


def _names(content: Any) -> dict[str, str]:
    plain = dict.fromkeys(content, "") if isinstance(content, list) else dict(content)
    if not all(isinstance(text, str) for pair in plain.items() for text in pair):
        raise ValueError("expected names and digests as text")
    return plain

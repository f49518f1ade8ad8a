"""What a folder of images holds, before anything is trained on it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from srat.data.folder import Files, list_parts
from srat.data.image_files import GREY_MODES, opened, upright
from srat.data.record import Part
from srat.errors import UserError
from srat.machine import cores

Size = tuple[int, int]
"""Width and height."""
PARTS: tuple[Part, ...] = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class Found:
    """An image file, looked at."""

    path: Path
    part: Part
    label: str
    """The class's name."""
    size: Size | None
    """None if it cannot be read."""
    grey: bool
    pixels: bytes
    """A hash of what it shows: of files of other formats, too, that show the same."""
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Twins:
    """Files that show the same."""

    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    """Their classes, each once."""
    parts: tuple[Part, ...]
    """The parts they are in, each once."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """All image files of a folder."""

    files: Sequence[Found]
    split: bool
    """Whether the folder has parts of its own; if not, they are drawn by the hashes of the files' names."""

    @property
    def readable(self) -> list[Found]:
        """The files that can be read."""
        return [file for file in self.files if file.size is not None]

    @property
    def unreadable(self) -> list[Found]:
        """The files that cannot."""
        return [file for file in self.files if file.size is None]

    @property
    def class_names(self) -> list[str]:
        """The classes, in the order of their labels."""
        return sorted({file.label for file in self.files})

    def counts(self, part: Part) -> dict[str, int]:
        """Return how many images of each class can be read, in a part."""
        found = Counter(file.label for file in self.readable if file.part == part)
        return {name: found[name] for name in self.class_names}

    @property
    def sizes(self) -> list[tuple[Size, int]]:
        """The sizes, and how many images have them, the most frequent first."""
        return Counter(file.size for file in self.files if file.size is not None).most_common()

    @property
    def twins(self) -> list[Twins]:
        """Files that show the same, where that matters: within several classes, or in both parts, or twice in one."""
        alike: Mapping[bytes, list[Found]] = defaultdict(list)
        for file in self.readable:
            alike[file.pixels].append(file)
        return [
            Twins(
                paths=tuple(file.path for file in files),
                labels=tuple(dict.fromkeys(file.label for file in files)),
                parts=tuple(dict.fromkeys(file.part for file in files)),
            )
            for files in alike.values()
            if len(files) > 1
        ]


def survey(folder: Path, test_fraction: float, told: Callable[[int, int], None] = lambda *_: None) -> Survey:
    """Look at every image file of a folder with a folder for each class.

    Args:
        folder: as ``--data folder`` takes it.
        test_fraction: share of each class that becomes the test where the folder has no parts.
        told: told how many files of how many are done.

    Raises:
        UserError: if it is no such folder.
    """
    parts: Mapping[str, Files] = list_parts(folder, test_fraction)
    tasks = [(path, part, label) for part in PARTS for label, paths in parts[part].items() for path in paths]
    files = []
    with ThreadPoolExecutor(min(16, cores())) as pool:
        for file in pool.map(lambda task: _look(*task), tasks):
            files.append(file)
            told(len(files), len(tasks))
    return Survey(files=files, split=(folder / "train").is_dir())


def _look(path: Path, part: Part, label: str) -> Found:
    try:
        with opened(path) as image:
            grey, shown = image.mode in GREY_MODES, upright(image).convert("RGB")
            digest = sha256(f"{shown.size}".encode() + np.asarray(shown, np.uint8).tobytes()).digest()
            return Found(path=path, part=part, label=label, size=shown.size, grey=grey, pixels=digest)
    except UserError as error:
        return Found(path=path, part=part, label=label, size=None, grey=True, pixels=b"", error=str(error))

"""Images of the user's own, one folder a class."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import torch

from srat.data.base import DataDir, Dataset, Source, Suggested
from srat.data.files import not_a_folder
from srat.data.image_files import ImageFiles, Mode, Streaming, common_mode, common_size
from srat.data.record import Part
from srat.errors import UserError, require
from srat.machine import cores, neighbours
from srat.registry import NOT_IDENTITY

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


@dataclass(frozen=True, kw_only=True)
class Folder(Source, name="folder"):
    """Image files: DIR/train/CLASS/… and DIR/test/CLASS/…, or DIR/CLASS/…, of which a fixed part becomes the test."""

    suggested: ClassVar[Suggested] = Suggested(imbalance="none")

    dir: DataDir = None
    """The folder."""
    size: int | None = None
    """Height and width to resize to; needed where the images' sizes differ."""
    color: Literal["auto", "grey", "rgb"] = "auto"
    """Channels; auto is grey where every image is."""
    test_fraction: float = 0.2
    """Share of each class that is the test where there are no folders train and test."""
    streaming: Streaming = field(default="auto", metadata=NOT_IDENTITY)
    """Decode images while the model computes (always), all of them beforehand (never), or so where they fit (auto)."""
    workers: int | None = field(default=None, metadata=NOT_IDENTITY)
    """Threads that decode; by default as many as there are cores, 16 at the most."""

    def __post_init__(self) -> None:
        require(self.size is None or 4 <= self.size <= 1024, f"--data.size: expected 4 to 1024 pixels, got {self.size}")
        require(
            0 < self.test_fraction < 1,
            f"--data.test-fraction: expected a share between 0 and 1, got {self.test_fraction}",
        )
        workers = self.workers is None or 1 <= self.workers <= 1024
        require(workers, f"--data.workers: expected 1 to 1,024 threads, got {self.workers}")

    def read(self, part: Part) -> Dataset:
        """Return the images of a part."""
        if self.dir is None:
            raise UserError("--data folder: expected --data-dir DIR with one folder a class, got none")
        if not self.dir.is_dir():
            raise not_a_folder(self.dir)
        parts = list_parts(self.dir, self.test_fraction)
        # Size, and grey or colour, are decided over both parts: the model is of one shape.
        everything = [path for files in parts.values() for paths in files.values() for path in paths]
        named: dict[str, Mode] = {"grey": "L", "rgb": "RGB"}
        width, height = (self.size, self.size) if self.size else common_size(everything)
        files = parts[part]
        images = ImageFiles(
            paths=tuple(path for paths in files.values() for path in paths),
            mode=named.get(self.color) or common_mode(everything),
            height=height,
            width=width,
            resize=self.size is not None,
            streaming=self.streaming,
            workers=self.workers or min(max(1, cores() // neighbours()), 16),
        )
        labels = torch.tensor([label for label, paths in enumerate(files.values()) for _ in paths])
        return Dataset(images, labels, tuple(files))

    def split(self) -> Mapping[Part, Sequence[str]] | None:
        """Return which files, below the folder, became training and test; None if the folder has parts of its own."""
        folder = self.dir
        if folder is None or (folder / "train").is_dir():
            return None
        parts: tuple[Part, ...] = ("train", "test")
        listed = list_parts(folder, self.test_fraction)
        return {
            part: [path.relative_to(folder).as_posix() for paths in listed[part].values() for path in paths]
            for part in parts
        }


Files = dict[str, list[Path]]


def list_parts(folder: Path, test_fraction: float) -> dict[str, Files]:
    """Return the image files of each class, for "train" and "test".

    Raises:
        UserError: on an empty class, a class in one part only, or no classes at all.
    """
    if not (folder / "train").is_dir():
        return _split(list_classes(folder), test_fraction)
    require((folder / "test").is_dir(), f"{folder}: there is a folder 'train' but no folder 'test'")
    parts = {part: list_classes(folder / part) for part in ("train", "test")}
    unpaired = sorted(parts["train"].keys() ^ parts["test"].keys())
    require(not unpaired, f"{folder}: expected the same classes in train and test; in one only: {', '.join(unpaired)}")
    return parts


def list_classes(folder: Path) -> Files:
    """Return the image files below each class folder of ``folder``, all in alphabetical order."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    require(bool(classes), f"{folder}: expected one folder a class, found no folder")
    files = {
        path.name: sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        for path in classes
    }
    empty = [name for name, paths in files.items() if not paths]
    require(not empty, f"{folder}: no image in class {', '.join(empty)} (read are: {' '.join(sorted(SUFFIXES))})")
    return files


def _split(files: Files, test_fraction: float) -> dict[str, Files]:
    # By the hash of the name, so that adding a file leaves every other file where it was ranked.
    parts: dict[str, Files] = {"train": {}, "test": {}}
    for name, paths in files.items():
        require(len(paths) >= 2, f"class '{name}' has one image; a test part and a training part need at least two")
        ranked = sorted(paths, key=lambda path: hashlib.sha256(os.fsencode(f"{name}/{path.name}")).digest())
        cut = min(max(1, round(test_fraction * len(paths))), len(paths) - 1)
        parts["test"][name], parts["train"][name] = sorted(ranked[:cut]), sorted(ranked[cut:])
    return parts

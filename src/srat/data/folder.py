"""Images of the user's own, one folder a class."""

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image

from srat.data.base import DataDir, Dataset, Source, Suggested
from srat.data.files import not_a_folder
from srat.errors import UserError, require
from srat.machine import require_memory

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
LARGEST_IMAGE = 1 << 26
"""Pixels of an image that is read; a camera's has fewer."""
_GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B"})


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

    def __post_init__(self) -> None:
        require(self.size is None or 4 <= self.size <= 1024, f"--data.size: expected 4 to 1024 pixels, got {self.size}")
        require(
            0 < self.test_fraction < 1,
            f"--data.test-fraction: expected a share between 0 and 1, got {self.test_fraction}",
        )

    def train(self) -> Dataset:
        """Return the training part."""
        return self._part("train")

    def test(self) -> Dataset:
        """Return the test part."""
        return self._part("test")

    def _part(self, part: Literal["train", "test"]) -> Dataset:
        if self.dir is None:
            raise UserError("--data folder: expected --data-dir DIR with one folder a class, got none")
        if not self.dir.is_dir():
            raise not_a_folder(self.dir)
        parts = list_parts(self.dir, self.test_fraction)
        # Grey or colour is decided over both parts: the model has one number of channels.
        everything = [path for files in parts.values() for paths in files.values() for path in paths]
        mode = {"grey": "L", "rgb": "RGB"}.get(self.color) or common_mode(everything)
        files = parts[part]
        # The first image of the other part too: a test of another size is better refused before the training.
        both = [next(iter(part_files.values()))[0] for part_files in parts.values()]
        read_images(both, mode=mode, size=self.size)
        images = read_images([path for paths in files.values() for path in paths], mode=mode, size=self.size)
        labels = torch.tensor([label for label, paths in enumerate(files.values()) for _ in paths])
        return Dataset(images, labels, tuple(files))


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


def common_mode(paths: list[Path]) -> str:
    """Return "L" if every image is grey, else "RGB"; only the files' headers are read."""
    for path in paths:
        with _opened(path) as image:
            if image.mode not in _GREY_MODES:
                return "RGB"
    return "L"


def read_images(paths: list[Path], *, mode: str, size: int | None) -> Tensor:
    """Return images as uint8 (n, channels, height, width).

    Args:
        paths: the files.
        mode: "L" or "RGB".
        size: height and width to resize to (bicubic), or None where all images have one size.

    Raises:
        UserError: if a file cannot be read, sizes differ and no size was given, or all are more than memory holds.
    """
    first = _read_image(paths[0], mode, size)
    advice = "; a smaller --data.size needs less"
    require_memory(2 * len(paths) * first.nbytes, f"{len(paths):,} images of {_said(first)} pixels", advice)
    images = np.empty((len(paths), *first.shape), np.uint8)
    for i, path in enumerate(paths):
        image = _read_image(path, mode, size)
        other = f"{path}: {_said(image)} pixels, but {paths[0]} has {_said(first)}; --data.size resizes them all"
        require(image.shape == first.shape, other)
        images[i] = image
    return torch.from_numpy(images.reshape(*images.shape[:3], -1).transpose(0, 3, 1, 2).copy())


def _said(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]} × {image.shape[0]}"


def _read_image(path: Path, mode: str, size: int | None) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    with _opened(path) as image:
        plain = ImageOps.exif_transpose(_eight_bits(image)).convert(mode)
        resized = plain.resize((size, size), Image.Resampling.BICUBIC) if size else plain
        return np.asarray(resized, np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator["Image.Image"]:
    """Open an image; whatever goes wrong with it, also later within the context, is a ``UserError`` that names it."""
    from PIL import Image

    try:
        # By name: Pillow would hand a file of PostScript to Ghostscript, whatever its ending says. Its warnings are of
        # damage that it can do with, and of sizes beyond ours.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            pixels = f"{width:,} × {height:,} pixels, expected at most {LARGEST_IMAGE:,} in all"
            require(width * height <= LARGEST_IMAGE, pixels)
            yield image
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        raise UserError(f"{path}: not a readable image, or truncated ({error})") from error


def _eight_bits(image: "Image.Image") -> "Image.Image":
    # Pillow clips 16-bit greys at 255 where they ought to be scaled.
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65_535:
        raise ValueError(f"grey levels from {levels.min()} to {levels.max()}, expected 16 bits")
    return Image.fromarray((levels // 257).astype(np.uint8))

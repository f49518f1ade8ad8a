"""Images that lie in files: decoded when they are asked for, or all at once where they fit."""

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image

from srat.errors import UserError, require
from srat.machine import free_memory, neighbours, require_memory

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
LARGEST_IMAGE = 1 << 26
"""Pixels of an image that is read; a camera's has fewer."""
Mode = Literal["L", "RGB"]
Streaming = Literal["auto", "always", "never"]
GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B"})
"""Of Pillow: images without colour."""
_ORIENTATION = 0x0112
_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageFiles:
    """Images in files, to be used as a tensor (n, channels, height, width) of bytes would be; indexing decodes them.

    Args:
        paths: the files.
        mode: "L" or "RGB".
        height: of every image, in pixels.
        width: likewise.
        resize: whether images of another size are resized (bicubic) or refused.
        streaming: "always" leaves them in their files, "never" decodes them all beforehand, "auto" if they fit.
        workers: threads that decode.
    """

    paths: tuple[Path, ...]
    mode: Mode
    height: int
    width: int
    resize: bool
    streaming: Streaming = "auto"
    workers: int = 1

    dtype = torch.uint8
    device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def ndim(self) -> int:
        """Four: images, channels, rows, columns."""
        return 4

    @property
    def shape(self) -> torch.Size:
        """(n, channels, height, width)."""
        return torch.Size((len(self), len(self.mode), self.height, self.width))

    @property
    def nbytes(self) -> int:
        """Bytes of all images once decoded."""
        return self.shape.numel()

    def __getitem__(self, indices: "Int[Tensor, ' chosen'] | slice") -> UInt8[Tensor, "chosen channels height width"]:
        """Return decoded images.

        Raises:
            UserError: if a file cannot be read, or its image has another size.
        """
        chosen = self._chosen(indices)
        images = np.empty((len(chosen), self.height, self.width, len(self.mode)), np.uint8)

        def decode(position: int) -> None:
            images[position] = self._decode(chosen[position])

        if self.workers == 1 or len(chosen) == 1:
            for position in range(len(chosen)):
                decode(position)
        else:
            with ThreadPoolExecutor(self.workers) as pool:
                list(pool.map(decode, range(len(chosen))))
        return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())

    def subset(self, indices: "Int[Tensor, ' chosen'] | slice") -> "ImageFiles":
        """Return some of the images, still in their files."""
        return replace(self, paths=tuple(self._chosen(indices)))

    def loaded(self) -> "Tensor | ImageFiles":
        """Return the images as one tensor, or as they are if they are to stay in their files.

        Raises:
            UserError: if they are not to stay there and do not fit into memory.
        """
        needed = 2 * self.nbytes
        # Each of several processes has its own.
        if self.streaming == "always" or (self.streaming == "auto" and needed > free_memory() // 2 // neighbours()):
            return self
        advice = "; a smaller --data.size needs less, and --data.streaming auto leaves them in their files"
        require_memory(needed * neighbours(), f"{len(self):,} images of {self.width} × {self.height} pixels", advice)
        return self[:]

    def hash_contents(self) -> bytes:
        """Return the SHA-256 of the files' contents and of how they are read."""
        digest = sha256(f"{self.mode} {self.height} {self.width}".encode())
        for path in self.paths:
            with path.open("rb") as file:
                digest.update(path.stat().st_size.to_bytes(8))
                while block := file.read(_BLOCK):
                    digest.update(block)
        return digest.digest()

    def _chosen(self, indices: Tensor | slice) -> Sequence[Path]:
        return self.paths[indices] if isinstance(indices, slice) else [self.paths[i] for i in indices.tolist()]

    def _decode(self, path: Path) -> NDArray[np.uint8]:
        from PIL import Image

        with opened(path) as image:
            plain = upright(image).convert(self.mode)
            size = (self.width, self.height)
            if self.resize:
                plain = plain.resize(size, Image.Resampling.BICUBIC)
            require(plain.size == size, f"{_said(plain.size)} pixels, expected {_said(size)}")
            return np.asarray(plain, np.uint8).reshape(self.height, self.width, -1)


def common_mode(paths: Sequence[Path]) -> Mode:
    """Return "L" if every image is grey, else "RGB"; only the files' headers are read."""
    for path in paths:
        with opened(path) as image:
            if image.mode not in GREY_MODES:
                return "RGB"
    return "L"


def common_size(paths: Sequence[Path]) -> tuple[int, int]:
    """Return width and height of the images, from their headers.

    Raises:
        UserError: if they differ.
    """
    first, *others = paths
    size = _upright_size(first)
    for path in others:
        other = _upright_size(path)
        said = f"{path}: {_said(other)} pixels, but {first} has {_said(size)}; --data.size resizes them all"
        require(other == size, said)
    return size


@contextmanager
def opened(path: Path) -> Iterator["Image.Image"]:
    """Open an image; whatever goes wrong with it, also later within the context, is a ``UserError`` that names it."""
    from PIL import Image

    try:
        # Its warnings are of damage that it can do with, and of sizes beyond ours.
        warnings.filterwarnings("ignore", module=r"PIL\.")  # catch_warnings is not for threads
        # By name: Pillow would hand a file of PostScript to Ghostscript, whatever its ending says.
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            pixels = f"{width:,} × {height:,} pixels, expected at most {LARGEST_IMAGE:,} in all"
            require(width * height <= LARGEST_IMAGE, pixels)
            yield image
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        raise UserError(f"{path}: not a readable image, or truncated ({error})") from error


def upright(image: "Image.Image") -> "Image.Image":
    """Return an image of eight bits, turned as its camera was held."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(_eight_bits(image))


def _upright_size(path: Path) -> tuple[int, int]:
    with opened(path) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(_ORIENTATION, 1) >= 5 else (width, height)


def _said(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


def _eight_bits(image: "Image.Image") -> "Image.Image":
    # Pillow clips 16-bit greys at 255 where they ought to be scaled.
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65_535:
        raise ValueError(f"grey levels from {levels.min()} to {levels.max()}, expected 16 bits")
    return Image.fromarray((levels // 257).astype(np.uint8))

"""Images that lie in files: decoded when they are asked for, or all at once where they fit."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image

from srat.core.errors import UnreadableError, UserError, require
from srat.core.files import content_digest
from srat.data.reading.decoding import NO_BACKGROUND, WHITEST, Mode, opened, shown
from srat.data.reading.formats import FORMATS
from srat.runtime.machine import free_memory, neighbours, require_memory

Item = TypeVar("Item")
T = TypeVar("T")
Streaming = Literal["auto", "always", "never"]
SKIPPING = "`data.skip_unreadable` leaves such files out"
"""What may help where files are damaged."""
NAMED_WRONG = 10
"""Files that cannot be read, at the most, that a line names."""
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
        background: the colour beneath transparent parts; "none" drops the transparency.
        white_level: the level of 16-bit greys that is white.
        streaming: "always" leaves them in their files, "never" decodes them all beforehand, "auto" if they fit.
        workers: threads that decode.
        beside: all files of their source, this part's and others': if one of them cannot be read, all such are named.
    """

    paths: tuple[Path, ...]
    mode: Mode
    height: int
    width: int
    resize: bool
    background: str = NO_BACKGROUND
    white_level: int = WHITEST
    streaming: Streaming = "auto"
    workers: int = 1
    beside: tuple[Path, ...] = ()

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

    @property
    def told(self) -> dict[str, Any]:
        """How they are decoded, for other programs."""
        names = ("mode", "height", "width", "background", "white_level")
        return {name: getattr(self, name) for name in names} | {"formats": FORMATS}

    def __getitem__(self, indices: "Int[Tensor, ' chosen'] | slice") -> UInt8[Tensor, "chosen channels height width"]:
        """Return decoded images.

        Raises:
            UserError: if files cannot be read, or their images have another size; it names them.
        """
        chosen = self._chosen(indices)
        images = np.empty((len(chosen), self.height, self.width, len(self.mode)), np.uint8)

        def decode(position: int) -> None:
            images[position] = self._decode(chosen[position])

        read_each(decode, range(len(chosen)), self.workers)
        return channels_first(images)

    def subset(self, indices: "Int[Tensor, ' chosen'] | slice") -> "ImageFiles":
        """Return some of the images, still in their files."""
        return replace(self, paths=tuple(self._chosen(indices)))

    def loaded(self) -> "Tensor | ImageFiles":
        """Return the images as one tensor, or as they are if they are to stay in their files.

        Raises:
            UserError: if they are not to stay there and do not fit into memory.
        """
        if self.stays:
            return self
        needed = 2 * self.nbytes
        advice = "; a smaller `data.size` needs less, and `data.streaming` auto leaves them in their files"
        require_memory(needed * neighbours(), f"{len(self):,} images of {self.width} × {self.height} pixels", advice)
        try:
            return self[:]
        except UserError:
            self.require_readable()
            raise

    @property
    def stays(self) -> bool:
        """Whether the images are to stay in their files."""
        # Each of several processes has its own.
        large = 2 * self.nbytes > free_memory() // 2 // neighbours()
        return self.streaming == "always" or (self.streaming == "auto" and large)

    def require_readable(self) -> None:
        """Raise ``UserError`` if images here or beside them cannot be read; it names them."""

        def look(path: Path) -> None:
            self._decode(path)

        looked = try_each(look, self.beside or self.paths, self.workers)
        if wrong := [each for each in looked if isinstance(each, UserError)]:
            raise together(wrong, SKIPPING if self.beside else "")

    def hash_contents(self) -> bytes:
        """Return the SHA-256 of the files' contents and of how they are read."""
        kept = (self.background, self.white_level) == (NO_BACKGROUND, WHITEST)
        how = "" if kept else f" {self.background} {self.white_level}"
        digest = sha256(f"{self.mode} {self.height} {self.width}{how}".encode())
        for path in self.paths:
            with path.open("rb") as file:
                digest.update(path.stat().st_size.to_bytes(8))
                while block := file.read(_BLOCK):
                    digest.update(block)
        return digest.digest()

    def pixel_digests(self) -> list[str]:
        """Return what names the pixels of each image, in whichever format its file is; "" if it cannot be decoded."""

        def digest(path: Path) -> str:
            try:
                return content_digest(self._decode(path).tobytes())
            except UserError:
                return ""

        return read_each(digest, self.paths, self.workers)

    def _chosen(self, indices: Tensor | slice) -> Sequence[Path]:
        return self.paths[indices] if isinstance(indices, slice) else [self.paths[i] for i in indices.tolist()]

    def _decode(self, path: Path) -> NDArray[np.uint8]:
        with opened(path) as image:
            return self.pixels(image)

    def pixels(self, image: "Image.Image") -> NDArray[np.uint8]:
        """Return the pixels of an opened image, as one of these files would have them.

        Args:
            image: any that Pillow reads.

        Raises:
            UserError: if its levels are beyond the range that becomes eight bits, or it has another size.
        """
        from PIL import Image

        plain = shown(image, background=self.background, white_level=self.white_level).convert(self.mode)
        size = (self.width, self.height)
        if self.resize:
            plain = plain.resize(size, Image.Resampling.BICUBIC)
        require(plain.size == size, f"{size_text(plain.size)} pixels, expected {size_text(size)}")
        return np.asarray(plain, np.uint8).reshape(self.height, self.width, -1)


def channels_first(images: NDArray[np.uint8]) -> Tensor:
    """Return (n, height, width, channels) as a tensor of (n, channels, height, width)."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def read_each(look: Callable[[Item], T], items: Sequence[Item], workers: int) -> list[T]:
    """Return what ``look`` gives for each item, made by several threads.

    Args:
        look: reads a file.
        items: what to read.
        workers: threads.

    Raises:
        UserError: that names the files which it could not read; one that names all, if they are several.
    """
    found = try_each(look, items, workers)
    wrong = [each for each in found if isinstance(each, UserError)]
    if wrong:
        raise together(wrong)
    return [each for each in found if not isinstance(each, UserError)]


def try_each(look: Callable[[Item], T], items: Sequence[Item], workers: int) -> list[T | UserError]:
    """Return what ``look`` gives for each item, or the error that it raises; arguments as for `read_each`."""

    def tried(item: Item) -> T | UserError:
        try:
            return look(item)
        except UserError as error:
            return error

    if workers == 1 or len(items) == 1:
        return [tried(item) for item in items]
    each = max(1, len(items) // (8 * workers))  # a task an item would cost more than a header
    shares = [items[start : start + each] for start in range(0, len(items), each)]
    with ThreadPoolExecutor(workers) as pool:
        return [one for share in pool.map(lambda share: list(map(tried, share)), shares) for one in share]


def together(wrong: Sequence[UserError], advice: str = "") -> UserError:
    """Return one error that tells of several files.

    Args:
        wrong: the errors.
        advice: what may help where files are damaged.
    """
    more = f"; and {len(wrong) - NAMED_WRONG:,} more ('srat data folder' lists all)" if len(wrong) > NAMED_WRONG else ""
    listed = "; ".join(map(str, wrong[:NAMED_WRONG])) + more
    then = f"; {advice}" if advice and any(isinstance(each, UnreadableError) for each in wrong) else ""
    said = str(wrong[0]) if len(wrong) == 1 else f"{len(wrong):,} files cannot be read: {listed}"
    return UserError(said + then) if then or len(wrong) > 1 else wrong[0]


def size_text(size: tuple[int, int]) -> str:
    """Return a width and a height as people read them: "64 × 48"."""
    return f"{size[0]} × {size[1]}"

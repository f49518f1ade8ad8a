"""What an image looks like from afar: a grey thumbnail, and where it grows brighter."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor
from torch.nn import functional as F

from srat.core.errors import require
from srat.data.dataset import Dataset
from srat.data.pixels import to_unit
from srat.data.reading.decoding import opened, shown

if TYPE_CHECKING:
    from PIL import Image

SIDE = 16
"""Of the grey thumbnails whose pixels are correlated."""
HASHED = 8
"""Of those whose differences from place to place are hashed, to 64 bits."""
ROWS = 1_000
"""Images that are looked at at a time."""
_KEPT = 32
"""Side of the thumbnail that is kept of a file."""


_MEAN = (1 / 3, 1 / 3, 1 / 3, 0)
"""Weights of red, green and blue, and what is added."""


@dataclass(frozen=True, eq=False)
class Looks:
    """What images look like.

    Args:
        vectors: grey thumbnails without their mean, of length 1.
        hashes: which places are brighter than the one before, as ±1.
    """

    vectors: Float[Tensor, "n pixels"]
    hashes: Float[Tensor, "n 64"]

    def __len__(self) -> int:
        return len(self.vectors)

    def subset(self, indices: Int[Tensor, " chosen"]) -> "Looks":
        """Return those of some of the images."""
        return Looks(self.vectors[indices], self.hashes[indices])


BLANK = bytes(_KEPT * _KEPT)
"""The `thumbnail` of a file that cannot be read."""


def looks_of(dataset: Dataset) -> Looks:
    """Return what the images of a data set look like."""
    return _looks(dataset.images[start : start + ROWS].cpu() for start in range(0, len(dataset), ROWS))


def looks_of_thumbnails(thumbnails: Sequence[bytes]) -> Looks:
    """Return what images look like whose `thumbnail` is known; at least one."""
    side = (1, _KEPT, _KEPT)
    starts = range(0, len(thumbnails), ROWS)
    blocks = (bytearray(b"".join(thumbnails[start : start + ROWS])) for start in starts)
    return _looks(torch.frombuffer(block, dtype=torch.uint8).view(-1, *side) for block in blocks)


def thumbnail(image: "Image.Image") -> bytes:
    """Return a small grey copy of a decoded image, as bytes."""
    from PIL import Image

    return image.convert("RGB").convert("L", matrix=_MEAN).resize((_KEPT, _KEPT), Image.Resampling.BOX).tobytes()


def thumbnail_of_file(path: Path, *, background: str, white_level: int) -> bytes:
    """Return `thumbnail` of a file.

    Args:
        path: the file.
        background: the colour beneath transparent parts.
        white_level: the level of 16-bit greys that is white.

    Raises:
        UserError: if it is no readable image.
    """
    with opened(path) as image:
        return thumbnail(shown(image, background=background, white_level=white_level))


def _looks(batches: Iterator[Num[Tensor, "n channels height width"]]) -> Looks:
    vectors, hashes = [], []
    for images in batches:
        grey = to_unit(images).mean(dim=1, keepdim=True)
        small = F.interpolate(grey, (SIDE, SIDE), mode="bilinear", antialias=True).flatten(1)
        vectors.append(F.normalize(small - small.mean(dim=1, keepdim=True), dim=1))
        smaller = F.interpolate(grey, (HASHED, HASHED + 1), mode="bilinear", antialias=True)
        hashes.append((smaller[..., 1:] > smaller[..., :-1]).flatten(1).float() * 2 - 1)
    require(bool(vectors), "images: expected at least one, got none")
    return Looks(torch.cat(vectors), torch.cat(hashes))

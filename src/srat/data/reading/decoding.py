"""From an image file to eight-bit pixels: what a header says, what is made of each kind."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

from srat.core.errors import UnreadableError, UserError, require
from srat.core.words import number
from srat.data.reading.formats import START, formats_of, why_undecoded

LARGEST_IMAGE = 1 << 26
"""Pixels of an image that is read; a camera's has fewer."""
WHITEST = 65_535
"""The largest level of 16 bits."""
NO_BACKGROUND = "none"
"""Transparency is dropped, and the colours beneath it show, as version 0.1 did."""
Mode = Literal["L", "RGB"]
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F"})
"""Of Pillow: images without colour, beside those of 16 bits (I;16, I;16B, …)."""
_ALPHA_MODES = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})
_ORIENTATION = 0x0112
_WIDTH, _HEIGHT, _BITS_PER_SAMPLE = 256, 257, 258
"""Tags of TIFF."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What an image file says of itself before its pixels are read."""

    size: tuple[int, int]
    """Width and height; upright, where that was asked for."""
    grey: bool
    transparent: bool
    """Whether it has an alpha channel or a transparent colour."""
    deep: bool
    """Whether its grey levels are whole numbers of more than 8 bits."""
    wide: bool
    """Whether its channels have more than 8 bits, of which Pillow reads the first eight."""
    several: bool
    """Whether it has several pages or frames, of which the first is read."""


@contextmanager
def opened(
    path: Path, contents: BinaryIO | None = None, *, most_pixels: int = LARGEST_IMAGE
) -> Iterator["Image.Image"]:
    """Open an image; whatever goes wrong with it, also later within the context, is a ``UserError`` that names it.

    Args:
        path: the file.
        contents: what is in it, where that does not lie at the path.
        most_pixels: width times height that it may have.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        # Its warnings are of damage that it can do with, and of sizes beyond ours.
        warnings.filterwarnings("ignore", module=r"PIL\.")  # catch_warnings is not for threads
        # As a file: of one that it maps into memory by its path, a TIFF, Pillow confuses rows and columns if it is
        # turned. Formats by name: it would hand a file of PostScript to Ghostscript, whatever its ending says.
        with path.open("rb") if contents is None else nullcontext(contents) as file:
            start = file.read(START)
            file.seek(0)
            why = why_undecoded(path, start)
            if why:
                raise UnreadableError(f"not read: {why}")
            with Image.open(file, formats=formats_of(start)) as image:
                width, height = image.size
                pixels = f"{width:,} × {height:,} pixels, expected at most {most_pixels:,} in all"
                require(width * height <= most_pixels, pixels)
                yield image
    except UserError as error:
        kind = UnreadableError if isinstance(error, UnreadableError) else UserError
        raise kind(f"{path}: {error}") from error
    except UnidentifiedImageError as error:
        raise UnreadableError(f"{path}: not a readable image") from error
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        raise UnreadableError(f"{path}: not a readable image, or truncated ({error})") from error


def decode(path: Path) -> None:
    """Decode the whole of an image file.

    Raises:
        UserError: if that cannot be done.
    """
    with opened(path) as image:
        image.load()


def read_header(path: Path, *, upright: bool = True) -> Header:
    """Return what an image file says of itself.

    Args:
        path: the file.
        upright: whether to look how its camera was held, which of some formats takes decoding the whole of it.

    Raises:
        UserError: if it is no readable image.
    """
    with opened(path) as image:
        return header_of(image, upright=upright)


def header_of(image: "Image.Image", *, upright: bool = True) -> Header:
    """Return what an opened image says of itself; arguments as for `read_header`."""
    width, height = _stored_size(image)
    wide = _is_wide(image)  # before its EXIF data, for which Pillow may read all of it and forget
    turned = upright and image.getexif().get(_ORIENTATION, 1) >= 5
    return Header(
        size=(height, width) if turned else (width, height),
        grey=image.mode in GREY_MODES or _is_deep(image),
        transparent=_is_transparent(image),
        deep=_is_deep(image),
        wide=wide,
        # The further pictures of a phone's JPEG are previews.
        several=image.format != "MPO" and bool(getattr(image, "is_animated", False)),
    )


def shown(image: "Image.Image", *, background: str = NO_BACKGROUND, white_level: int = WHITEST) -> "Image.Image":
    """Return an image of eight bits, turned as its camera was held, without transparency.

    Args:
        image: any that Pillow reads.
        background: the colour beneath transparent parts, by a name or as #rrggbb; "none" drops the transparency.
        white_level: the level of 16 bits that is white.

    Raises:
        UserError: if its levels are beyond the range that becomes eight bits.
    """
    from PIL import Image, ImageOps

    plain = _eight_bits(ImageOps.exif_transpose(image), white_level)
    if background == NO_BACKGROUND or not _is_transparent(plain):
        return plain
    layer = plain.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, background), layer)


def largest_level(path: Path) -> int:
    """Return the largest grey level of an image of more than 8 bits."""
    with opened(path) as image:
        return level_of(image)


def largest_byte(path: Path, background: str) -> int:
    """Return the largest value of an image once it has eight bits.

    Args:
        path: of the file.
        background: as for `shown`.
    """
    with opened(path) as image:
        return level_of(shown(image, background=background).convert("RGB"))


def level_of(image: "Image.Image") -> int:
    """Return the largest level of an opened image."""
    return int(np.asarray(image).max())


def _is_deep(image: "Image.Image") -> bool:
    return image.mode.startswith("I")


def _stored_size(image: "Image.Image") -> tuple[int, int]:
    """Return width and height as they are in the file; of a TIFF, Pillow says them as they are once it is upright."""
    tags = getattr(image, "tag_v2", {})
    return (tags[_WIDTH], tags[_HEIGHT]) if tags else image.size


def _is_wide(image: "Image.Image") -> bool:
    """Return whether an opened image, of which nothing is decoded yet, has channels of 16 bits in its file."""
    if _is_deep(image) or image.mode == "F":
        return False
    bits = max(getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,)))
    return bits > 8 or any(map(_has_wide_channels, image.tile))  # type: ignore[attr-defined]


def _has_wide_channels(tile: Any) -> bool:
    """Return whether a tile, as Pillow is going to decode it, has channels of more than 8 bits."""
    of_ppm = tile.codec_name.startswith("ppm") and tile.args[-1] > 255  # the largest level
    return of_ppm or tile.codec_name == "SGI16" or ";16" in str(tile.args)


def _is_transparent(image: "Image.Image") -> bool:
    return image.mode in _ALPHA_MODES or "transparency" in image.info


def _eight_bits(image: "Image.Image", white_level: int) -> "Image.Image":
    # Pillow clips levels beyond 255 where they ought to be scaled.
    from PIL import Image

    if not (_is_deep(image) or image.mode == "F"):
        return image
    levels = np.asarray(image)
    low, high = levels.min().item(), levels.max().item()
    if image.mode == "F":
        require(
            0 <= low <= high <= 1,
            f"floating point values from {number(low, 0, 1)} to {number(high, 0, 1)}, expected 0 to 1",
        )
        return Image.fromarray(np.rint(levels * 255).astype(np.uint8))
    require(low >= 0 and high <= WHITEST, f"grey levels from {low:,} to {high:,}, expected 0 to {WHITEST:,}")
    require(high <= white_level, f"a grey level of {high:,}, above `data.white_level` {white_level}")
    plain = Image.fromarray((levels.astype(np.int64) * 255 // white_level).astype(np.uint8))
    if _is_transparent(image):  # one level of 16 bits is clear
        clear = levels == image.info["transparency"]
        plain.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    return plain

"""How much of the range up to white images use."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from srat.core.errors import UserError
from srat.core.words import counted
from srat.data.pixels import DARK, dark_note, is_dark
from srat.data.reading.decoding import Header, largest_byte, largest_level
from srat.data.reading.image_files import read_each

LOOKED_AT = 256
"""Images at the most, evenly spread, that are decoded for this before they are read."""
SCALE = "scale the values in the files before they are read"
_WHITE = 255
"""That of eight bits."""


def levels_used(headers: Sequence[Header], paths: Sequence[Path], threads: int) -> tuple[list[int], int]:
    """Return the largest level of each image of more than 8 bits, of `LOOKED_AT` at the most, and how many there are.

    Args:
        headers: what the files say of themselves.
        paths: the files.
        threads: how many files are read at a time.
    """
    deep = [path for path, header in zip(paths, headers, strict=True) if header.deep]
    return read_each(largest_level, _spread(deep), threads), len(deep)


def dull_notes(
    headers: Sequence[Header], paths: Sequence[Path], background: str, *, most: float = DARK, way: str = SCALE
) -> Iterator[str]:
    """Yield what is to be said of images of eight bits a channel if none of those looked at has a bright value.

    Of most data sets the first image is bright, and no other one is looked at. A file that cannot be decoded is passed
    over: it is named where the images are read.

    Args:
        headers: what the files say of themselves.
        paths: the files.
        background: the colour beneath transparent parts.
        most: the largest share of white that is dark.
        way: what makes them brighter.
    """
    plain = [path for path, header in zip(paths, headers, strict=True) if not header.deep]
    chosen, highest = _spread(plain), 0
    for path in chosen:
        highest = max(highest, _byte_of(path, background))
        if highest > most * _WHITE:
            return
    if note := told_dull(highest, most=most, way=way):
        yield note + _looked_at(len(chosen), len(plain))


def told_dull(highest: int, *, most: float = DARK, way: str = SCALE) -> str:
    """Return what is to be said of images by their largest value of eight bits; nothing if they are not dark.

    Args:
        highest: it.
        most: the largest share of white that is dark.
        way: what makes them brighter.
    """
    return dark_note(highest, _WHITE, most=most, way=way)


def dark_notes(levels: Sequence[int], there: int, white_level: int, *, way: str = "") -> Iterator[str]:
    """Yield what is to be said of images of more than 8 bits if most of them use few of their levels.

    Args:
        levels: the largest level of each image looked at.
        there: how many such images there are.
        white_level: the level that is white.
        way: what makes them brighter; by default another level that is white.
    """
    dark = [level for level in levels if level == 0 or is_dark(level, white_level)]
    if any(dark) and 2 * len(dark) > len(levels):
        most, all_dark = max(dark), len(dark) == len(levels)
        of = "" if all_dark else f"of {len(levels):,} "
        use = counted(len(dark), f"{of}image of more than 8 bits uses", f"{of}images of more than 8 bits use")
        scaled = f"`data.white_level` {most} makes {most:,} white"
        ways = scaled if all_dark else "the others are brighter: scale the files alike before they are read"
        only = f"only levels up to {most:,} of {white_level:,}{_looked_at(len(levels), there)}"
        yield f"{use} {only}, so they would be dark: {way or ways}"


def _spread(paths: Sequence[Path]) -> list[Path]:
    """Return `LOOKED_AT` of some files at the most, evenly spread."""
    chosen = min(len(paths), LOOKED_AT)
    return [paths[place * len(paths) // chosen] for place in range(chosen)]


def _looked_at(seen: int, there: int) -> str:
    return "" if seen == there else f" ({there:,} are there, and {seen:,} were looked at)"


def _byte_of(path: Path, background: str) -> int:
    try:
        return largest_byte(path, background)
    except UserError:
        return 0

"""Grey images of more than 8 bits, and how much of their range they use."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from srat.core.words import counted
from srat.data.reading.decoding import Header, largest_level
from srat.data.reading.image_files import read_each

LOOKED_AT = 256
"""Images at the most, evenly spread, that are decoded for this before they are read."""
DARK = 0.5
"""Share of the levels up to white; images that use fewer are said to be dark."""


def levels_used(headers: Sequence[Header], paths: Sequence[Path], threads: int) -> tuple[list[int], int]:
    """Return the largest level of each image of more than 8 bits, of `LOOKED_AT` at the most, and how many there are.

    Args:
        headers: what the files say of themselves.
        paths: the files.
        threads: how many files are read at a time.
    """
    deep = [path for path, header in zip(paths, headers, strict=True) if header.deep]
    looked_at = min(len(deep), LOOKED_AT)
    chosen = [deep[place * len(deep) // looked_at] for place in range(looked_at)]
    return read_each(largest_level, chosen, threads), len(deep)


def dark_notes(levels: Sequence[int], there: int, white_level: int) -> Iterator[str]:
    """Yield what is to be said of images of more than 8 bits if most of them use few of their levels.

    Args:
        levels: the largest level of each image looked at.
        there: how many such images there are.
        white_level: the level that is white.
    """
    dark = [level for level in levels if level < DARK * white_level]
    if 2 * len(dark) > len(levels):
        most, all_dark = max(dark), len(dark) == len(levels)
        of = "" if all_dark else f"of {len(levels):,} "
        images = "" if there == len(levels) else f" ({there:,} are there, and {len(levels):,} were looked at)"
        use = counted(len(dark), f"{of}image of more than 8 bits uses", f"{of}images of more than 8 bits use")
        scaled = f"--data.white-level {max(most, 1)} makes {most:,} white"
        ways = scaled if all_dark else "the others are brighter: scale the files alike before they are read"
        yield f"{use} only levels up to {most:,} of {white_level:,}{images}, so they would be dark: {ways}"

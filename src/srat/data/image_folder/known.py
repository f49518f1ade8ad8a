"""Which files that a run has not recorded are images it knows all the same: by content, by pixels, or maybe by name."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from srat.data.image_folder.naming import normal
from srat.data.reading.image_files import read_each
from srat.data.record import Record, file_digest

Pixels = Callable[[Sequence[Path]], Sequence[str]]
"""Files → what names the pixels of each; "" if it cannot be decoded."""


def of_contents(
    files: Mapping[Path, str], names: Mapping[str, str], bare: Mapping[Path, str], threads: int
) -> dict[Path, str]:
    """Return which files have the content of a recorded image, and its name.

    Args:
        files: with their digests.
        names: of recorded images, by the digests of their contents.
        bare: names of recorded images without a digest, as version 0.1 wrote them, by where they lie.
        threads: how many files are read at a time.
    """
    if not files:
        return {}
    names = {**names, **dict(zip(read_each(file_digest, list(bare), threads), bare.values(), strict=True))}
    return {path: names[digest] for path, digest in files.items() if digest in names}


def of_pixels(files: Sequence[Path], record: Record, seen: Pixels) -> dict[Path, str]:
    """Return which files show what a recorded image shows, in another format or compressed otherwise, and its name.

    Args:
        files: of other contents than the recorded images.
        record: the run's.
        seen: names the pixels of files, as the run sees them.
    """
    name_of = {pixels: name for name, pixels in _recorded(record) if pixels}
    if not name_of or not files:
        return {}
    return {path: name_of[pixels] for path, pixels in zip(files, seen(files), strict=True) if pixels in name_of}


def maybe_known(files: Sequence[Path], place: Path, record: Record) -> list[Path]:
    """Return which files have the name, but for the ending, of a recorded image whose pixels were not recorded.

    They may show the same.

    Args:
        files: of other contents and pixels than the recorded images, as far as those are known.
        place: the folder.
        record: the run's.
    """
    stems = {_stem(name) for name, pixels in _recorded(record) if not pixels}
    return [path for path in files if _stem(path.relative_to(place).as_posix()) in stems]


def _recorded(record: Record) -> list[tuple[str, str]]:
    """Return the name of each recorded image, with what names its pixels."""
    return [pair for part, names in record.parts.items() for pair in zip(names, record.pixels_of(part), strict=True)]


def _stem(name: str) -> str:
    return str(PurePosixPath(normal(name)).with_suffix(""))

"""Images of a folder without those that are damaged, where the user wants it so."""

from dataclasses import replace

from srat.core.errors import UnreadableError
from srat.data.image_folder.found import Found
from srat.data.image_folder.scan import Passed
from srat.data.reading.decoding import decode
from srat.data.reading.image_files import try_each


def without_unreadable(found: Found, threads: int) -> Found:
    """Return the images of a folder that can be decoded; the others are among what is passed over.

    No other image changes its part.

    Args:
        found: the images.
        threads: how many files are read at a time.
    """
    paths = found.paths
    tried = try_each(decode, paths, threads)
    bad = {path for path, error in zip(paths, tried, strict=True) if isinstance(error, UnreadableError)}
    passed = (Passed(path=path, kind="unreadable", why="image that is damaged") for path in paths if path in bad)
    return replace(
        found,
        parts={part: [each for each in images if each[0] not in bad] for part, images in found.parts.items()},
        passed=(*found.passed, *passed),
        groups={path: group for path, group in found.groups.items() if path not in bad},
        hints={path: hint for path, hint in found.hints.items() if path not in bad},
    )

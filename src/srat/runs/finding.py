"""Runs in a folder, found through folders and links."""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from srat.core.errors import nearest
from srat.runs.folder import RunFolder

DEPTH = 4
"""Folders below the one that is looked through."""
NAMED = 10
"""Runs, at the most, that are named where one is not found."""


def runs_in(folder: Path, depth: int = DEPTH) -> list[RunFolder]:
    """Return the runs in a folder, each once however many links lead to it, in the order of their paths.

    What lies within a run, as what it was exported to, is none.

    Args:
        folder: where to look.
        depth: how many folders below it are looked into, one below the other.
    """
    return sorted((RunFolder(each) for each in _folders(folder, depth) if RunFolder(each).exists), key=_path)


def runs_beside(path: Path) -> str:
    """Return, for an error about a ``path`` without a run, which runs lie beside it: a near name first, then all."""
    folder = path.absolute().parent
    if RunFolder(folder).exists:
        return f", did you mean '{path.parent}'?"
    if not (names := [run.path.name for run in runs_in(folder, depth=1)]):
        return ""
    more = ", …" if len(names) > NAMED else ""
    return f"{nearest(path.name, names)}; there are: {', '.join(names[:NAMED])}{more}"


def _folders(top: Path, depth: int) -> Iterator[Path]:
    """Yield folders, each once; what links lead to comes last, so that it has its own name where it lies here, too."""
    seen: set[tuple[int, int]] = set()
    plain, linked = deque([(top, depth)]), deque[tuple[Path, int]]()
    while plain or linked:
        folder, left = (plain or linked).popleft()
        with suppress(OSError):  # a folder that may not be read, or is gone
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            yield folder
            if left and not RunFolder(folder).exists:
                for each in sorted(folder.iterdir()):
                    if each.is_dir():
                        (linked if each.is_symlink() else plain).append((each, left - 1))


def _path(run: RunFolder) -> Path:
    return run.path

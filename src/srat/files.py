"""Files that a reader never meets half of, and strangers' files, of which no more is read than is bearable."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from srat.errors import UserError, require

Content = bytes | str | Iterable[bytes | memoryview]


def write_atomically(path: Path, content: Content) -> None:
    """Write a file whole or not at all: to a temporary one beside it, flushed to the disk, then renamed.

    Args:
        path: the file; its folder exists.
        content: bytes, text (as UTF-8), or parts to be written one after the other.

    Raises:
        OSError: if the disk is full, say; it names ``path``, and the file that was there before is untouched.
    """
    parts = [content] if isinstance(content, bytes) else [content.encode()] if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left in ``folder``; nobody else may write there."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def read_bounded(path: Path, limit: int) -> bytes:
    """Return a file's bytes.

    Raises:
        UserError: if it cannot be read, or has more than ``limit`` bytes; no more than that is ever read.
    """
    try:
        with path.open("rb") as file:
            # All at once if it is as long as it says; devices and pipes say nothing.
            parts = [file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)]
            while sum(map(len, parts)) <= limit and (part := file.read(1 << 24)):
                parts.append(part)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    content = b"".join(parts)
    require(len(content) <= limit, f"{path}: expected at most {size(limit)}, got a larger file")
    return content


def size(count: float) -> str:
    """Return a number of bytes for people, such as "1.4 GB"."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"


def _flush_folder(folder: Path) -> None:
    # A rename is on the disk only when its folder is. Windows knows no such thing.
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

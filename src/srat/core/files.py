"""Files that a reader never meets half of, and strangers' files, of which no more is read than is bearable."""

import errno
import json
import os
import re
import secrets
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from srat.core.errors import UserError, require

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
        if re.fullmatch(r"\..+\.[0-9a-f]{8}\.tmp", leftover.name) and leftover.is_file():
            leftover.unlink()


def read_bounded(path: Path, limit: int) -> bytes:
    """Return a file's bytes.

    Raises:
        UserError: if it cannot be read, is a device or a pipe, or has more than ``limit`` bytes, which are never read.
    """
    try:
        count = path.stat().st_size
        require(path.is_file() or path.is_dir(), f"{path}: expected a file, got a device or a pipe")
        require(count <= limit, f"{path}: expected at most {size(limit)}, got {size(count)}")
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def parse_json(text: str | bytes, *, where: Path | str, finite: bool = True, names: bool = False) -> Any:
    """Return what JSON says.

    Args:
        text: the JSON.
        where: names its source.
        finite: whether numbers have to be finite.
        names: whether text may be such as only files' names hold, which UTF-8 cannot write.

    Raises:
        UserError: if it is not such JSON.
    """
    try:
        plain = text if isinstance(text, str) else text.decode()
        content = json.loads(plain, parse_constant=_refuse if finite else None)
        json.dumps(content, ensure_ascii=False).encode(errors="surrogateescape" if names else "strict")
    except (ValueError, RecursionError) as error:  # among them numbers of thousands of digits, and half letters
        raise UserError(f"{where}: not valid JSON ({error})") from error
    return content


def count_lines(path: Path) -> int:
    """Return how many lines a text file has, 0 if it is not there."""
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


def _refuse(constant: str) -> None:
    raise ValueError(f"it has {constant} for a number")


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
        except OSError as error:
            if error.errno != errno.EINVAL:  # some file systems of networks cannot, and need not
                raise
        finally:
            os.close(handle)


def content_digest(content: bytes | memoryview) -> str:
    """Return what names a content in a record: its BLAKE2b, 128 bits in hexadecimal."""
    return blake2b(content, digest_size=16).hexdigest()

"""Finding, fetching and checking the files of published data sets."""

import gzip
import hashlib
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from srat.core.errors import UserError, require
from srat.core.files import read_bounded, size

LARGEST = 1 << 29
"""Bytes of a published file, as it lies or unpacked; the largest that we know has 237 million."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file that can be fetched: its name, its address and its published MD5 sum."""

    name: str
    url: str
    md5: str


def search_folders(given: Path | None) -> list[Path]:
    """Return the folders to look in: the given one alone, else ``$SRAT_DATA_DIR``, then the download cache.

    Raises:
        UserError: if a folder was given that does not exist.
    """
    if given is not None:
        return [require_folder(given)]
    from_environment = os.environ.get("SRAT_DATA_DIR")
    return [*([Path(from_environment).expanduser()] if from_environment else []), cache_folder()]


def require_folder(given: Path) -> Path:
    """Return the folder that was given.

    Raises:
        UserError: if it is not a folder.
    """
    try:
        is_folder, what = stat.S_ISDIR(given.stat().st_mode), "is a file"
    except FileNotFoundError:
        is_folder, what = False, "does not exist"
    except OSError as error:
        is_folder, what = False, f"cannot be reached ({error.strerror})"
    require(is_folder, f"`data.dir`: expected a folder, got '{given}', which {what}")
    return given


def cache_folder() -> Path:
    """Return the folder that downloads go to."""
    import pooch

    return Path(pooch.os_cache("srat"))


def locate(names: Sequence[str], folders: Sequence[Path]) -> Path | None:
    """Return the first ``folder / name`` that exists, folder by folder."""
    return next((folder / name for folder in folders for name in names if (folder / name).exists()), None)


def fetch(remote: Remote, given: Path | None, wanted: Sequence[str]) -> Path:
    """Download ``remote`` with a progress bar and a checksum, into the given folder or the cache.

    Raises:
        UserError: if that fails; the line names the files wanted and where to put them.
    """
    import pooch
    from requests import RequestException

    folder = given if given is not None else cache_folder()
    pooch.get_logger().setLevel("WARNING")
    try:
        path = pooch.retrieve(remote.url, f"md5:{remote.md5}", fname=remote.name, path=folder, progressbar=True)
    except (RequestException, OSError, ValueError) as error:
        raise UserError(
            f"{remote.name} is not in {folder} and could not be fetched from {remote.url} ({type(error).__name__}): "
            f"put {' or '.join(wanted)} there, or name its folder with `data.dir` or SRAT_DATA_DIR"
        ) from error
    return Path(path)


def check_md5(content: bytes, md5: str, path: Path | str) -> None:
    """Raise ``UserError`` unless ``content`` has the MD5 sum ``md5``."""
    _require_sum(hashlib.md5(content, usedforsecurity=False).hexdigest(), md5, path)


def check_md5_of(path: Path, md5: str) -> None:
    """Raise ``UserError`` unless a file, read block by block, has the MD5 sum ``md5``."""
    require(path.is_file(), f"{path}: expected a file, got a folder, a device or a pipe")
    try:
        with path.open("rb") as file:
            got = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    _require_sum(got, md5, path)


def _require_sum(got: str, md5: str, path: Path | str) -> None:
    said = f"{path}: wrong checksum, expected MD5 {md5}, got {got}; `data.verify` false reads it all the same"
    require(got == md5, said)


def read_file(path: Path) -> bytes:
    """Return the bytes of a published file, or raise ``UserError`` naming it; gzip files unpacked."""
    content = read_bounded(path, LARGEST)
    return unpack(content, path) if path.suffix == ".gz" else content


def unpack(content: bytes, path: Path | str) -> bytes:
    """Return what gzip has packed.

    Raises:
        UserError: if it is damaged, or unpacks to more than any published file.
    """
    with gzip.open(io.BytesIO(content)) as stream:
        unpacked = _read(stream, LARGEST + 1, path)
    require(len(unpacked) <= LARGEST, f"{path}: unpacks to more than {size(LARGEST)}, which no file of this kind has")
    return unpacked


def read_from_tar(path: Path, names: Sequence[str]) -> list[bytes]:
    """Return files of a gzipped tar archive, read in memory, so that nothing is ever unpacked onto the disk.

    Headers are taken one by one and links are not followed: what an archive can do to its reader, this one cannot.

    Raises:
        UserError: if the archive is damaged, lacks one of them, or unpacks to more than any published one.
    """
    require(path.is_file(), f"{path}: expected a file, got a folder, a device or a pipe")
    found: dict[str, bytes] = {}
    left = LARGEST
    with gzip.open(path) as stream:
        while len(found) < len(names) and any(block := _read(stream, tarfile.BLOCKSIZE, path)):
            member = _header(block, path)
            padded = -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            left -= padded + tarfile.BLOCKSIZE
            require(left >= 0, f"{path}: unpacks to more than {size(LARGEST)}, which no archive of this kind does")
            name = member.name.removeprefix("./")
            content = _read(stream, padded, path)
            require(len(content) == padded, f"{path}: truncated in '{name}'")
            if name in names and member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                found[name] = content[: member.size]
    missing = [name for name in names if name not in found]
    require(not missing, f"{path}: there is no file '{''.join(missing[:1])}' in this archive, or it is truncated")
    return [found[name] for name in names]


def _header(block: bytes, path: Path) -> tarfile.TarInfo:
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError) as error:
        raise UserError(f"{path}: not a readable archive, or truncated ({error})") from error
    require(member.size >= 0, f"{path}: a file of {member.size} bytes")
    return member


def _read(stream: gzip.GzipFile, count: int, path: Path | str) -> bytes:
    try:
        return stream.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: not a readable gzip file, or truncated ({error})") from error

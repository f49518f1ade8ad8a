"""Finding, fetching and checking the files of published data sets."""

import hashlib
import os
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from srat.errors import UserError


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
        if not given.is_dir():
            raise not_a_folder(given)
        return [given]
    from_environment = os.environ.get("SRAT_DATA_DIR")
    return [*([Path(from_environment)] if from_environment else []), cache_folder()]


def not_a_folder(given: Path) -> UserError:
    """Return the error for a --data-dir that is no folder."""
    what = "is a file" if given.exists() else "does not exist"
    return UserError(f"--data-dir: expected a folder, got '{given}', which {what}")


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
        UserError: if it cannot be had; the line names the files wanted and where to put them.
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
            f"put {' or '.join(wanted)} there, or name its folder with --data-dir or SRAT_DATA_DIR"
        ) from error
    return Path(path)


def check_md5(content: bytes, md5: str, path: Path | str) -> None:
    """Raise ``UserError`` unless ``content`` has the MD5 sum ``md5``."""
    got = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if got != md5:
        raise UserError(
            f"{path}: wrong checksum, expected MD5 {md5}, got {got}; --data.no-verify reads it all the same"
        )


def read_file(path: Path) -> bytes:
    """Return a file's bytes, or raise ``UserError`` naming it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def read_from_tar(path: Path, names: Sequence[str]) -> list[bytes]:
    """Return files of a tar archive, read in memory, so that nothing is ever unpacked onto the disk.

    Raises:
        UserError: if the archive is damaged or lacks one of them.
    """
    try:
        with tarfile.open(path) as archive:
            files = {name: archive.extractfile(name) for name in names}
            missing = [name for name, file in files.items() if file is None]
            if missing:
                raise UserError(f"{path}: '{missing[0]}' is not a file in this archive")
            return [file.read() for file in files.values() if file is not None]
    except KeyError as error:
        raise UserError(f"{path}: {error.args[0]}") from error
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path}: not a readable archive, or truncated ({error})") from error

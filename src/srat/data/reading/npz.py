"""Arrays of .npz files: their headers are read first, and nothing that holds a pickle is read at all."""

import io
import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srat.core.errors import UserError, require
from srat.runtime.machine import require_memory

_LONGEST_HEADER = 10_000
_SUFFIX = ".npy"


def names_in(path: Path) -> list[str]:
    """Return the names of the arrays in a file, in alphabetical order.

    Raises:
        UserError: if it is no .npz file, or a damaged one.
    """
    with _opened(path) as archive:
        return _names(archive)


def read_npz(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return arrays of a file by name.

    Object arrays, which hold a pickle, and more than memory holds are refused unread.

    Args:
        path: the file.
        names: those of the arrays.

    Raises:
        UserError: if the file or an array is missing, damaged, or too large.
    """
    with _opened(path) as archive:
        there = _names(archive)
        missing = ", ".join(name for name in names if name not in there)
        require(not missing, f"there is no {missing}; there are: {', '.join(there) or 'no arrays'}")
        require_memory(sum(_declared_bytes(archive, name) for name in names), f"{path}: the arrays")
        return {name: _read_array(archive, name) for name in names}


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    require(path.is_file(), f"{path}: expected an .npz file, got a folder, a device or a pipe")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    except Exception as error:  # NumPy, zipfile and zlib raise whatever a damaged file leads them to
        kind = type(error).__name__
        raise UserError(f"{path}: not a readable .npz of plain arrays, or truncated ({kind}: {error})") from error


def _names(archive: zipfile.ZipFile) -> list[str]:
    return sorted({name.removesuffix(_SUFFIX) for name in archive.namelist() if name.endswith(_SUFFIX)})


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}{_SUFFIX}") as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _declared_bytes(archive: zipfile.ZipFile, name: str) -> int:
    header = np.lib.format
    with archive.open(f"{name}{_SUFFIX}") as file:
        version = header.read_magic(file)
        require(version in ((1, 0), (2, 0)), f"{name} is of an unknown version, {version}")
        # NumPy reads the whole header, whatever its length, before it wonders at it.
        length = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
        require(length <= _LONGEST_HEADER, f"{name} has a header of {length:,} bytes")
        text = io.BytesIO(length.to_bytes(2, "little") + file.read(length))
    shape, _, dtype = header.read_array_header_1_0(text)
    require(min(shape, default=0) >= 0, f"{name} has the shape {shape}")
    require(not dtype.hasobject, f"{name} holds Python objects, expected plain numbers or text")
    return math.prod(shape) * max(dtype.itemsize, 1)

"""Images of the user's own, in one .npz file."""

import io
import math
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srat.data.base import DataDir, Dataset, Source, Suggested
from srat.data.record import Part
from srat.errors import UserError, require
from srat.machine import require_memory


@dataclass(frozen=True, kw_only=True)
class Arrays(Source, name="arrays"):
    """An .npz with train_images, train_labels, test_images, test_labels and, optionally, class_names."""

    suggested: ClassVar[Suggested] = Suggested(imbalance="none", augmentation="none")

    dir: DataDir = None
    """The .npz file; images n × H × W or n × H × W × C, uint8 or floating point in [0, 1]."""

    def read(self, part: Part) -> Dataset:
        """Return train_images with train_labels, or test_images with test_labels."""
        if self.dir is None:
            raise UserError("--data arrays: expected --data-dir FILE.npz, got none")
        arrays = read_npz(self.dir)
        images = {name: _images(arrays[f"{name}_images"], f"{self.dir}: {name}_images") for name in ("train", "test")}
        labels = {name: _labels(arrays[f"{name}_labels"], f"{self.dir}: {name}_labels") for name in ("train", "test")}
        shapes = [tuple(images[name].shape[1:]) for name in ("train", "test")]
        require(
            shapes[0] == shapes[1], f"{self.dir}: training images are of shape {shapes[0]}, test images of {shapes[1]}"
        )
        names = _class_names(arrays.get("class_names"), torch.cat(tuple(labels.values())), self.dir)
        try:
            return Dataset(images[part], labels[part], names)
        except UserError as error:
            raise UserError(f"{self.dir}, {part}: {error}") from error


_LONGEST_HEADER = 10_000
NAMES = ("train_images", "train_labels", "test_images", "test_labels")


def read_npz(path: Path) -> dict[str, Any]:
    """Return the arrays of an .npz file; ``class_names`` may be absent.

    Their headers are read first: object arrays, which hold a pickle, and more than memory holds are refused unread.

    Raises:
        UserError: if the file or an array is missing, damaged, or too large.
    """
    require(path.is_file(), f"--data-dir: expected an .npz file, got '{path}', which {_what_it_is(path)}")
    try:
        with zipfile.ZipFile(path) as archive:
            there = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            missing = [name for name in NAMES if name not in there]
            found = ", ".join(sorted(there)) or "no arrays"
            require(not missing, f"{path}: there is no {', '.join(missing)}; there are: {found}")
            names = [name for name in (*NAMES, "class_names") if name in there]
            require_memory(sum(_declared_bytes(archive, name) for name in names), f"{path}: the arrays")
            return {name: _read_array(archive, name) for name in names}
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    except Exception as error:  # NumPy, zipfile and zlib raise whatever a damaged file leads them to
        kind = type(error).__name__
        raise UserError(f"{path}: not a readable .npz of plain arrays, or truncated ({kind}: {error})") from error


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _declared_bytes(archive: zipfile.ZipFile, name: str) -> int:
    header = np.lib.format
    with archive.open(f"{name}.npy") as file:
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


def _what_it_is(path: Path) -> str:
    return "is a folder" if path.is_dir() else "does not exist"


def _images(array: NDArray[Any], what: str) -> Tensor:
    require(array.ndim in (3, 4), f"{what}: expected n × H × W or n × H × W × C, got shape {array.shape}")
    if array.ndim == 3:
        array = array[..., None]
    require(array.shape[3] in (1, 3), f"{what}: expected 1 or 3 channels on the last axis, got shape {array.shape}")
    require(
        array.dtype == np.uint8 or array.dtype.kind == "f",
        f"{what}: expected uint8 or floating point, got {array.dtype}",
    )
    plain = array if array.dtype == np.uint8 else array.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(plain.transpose(0, 3, 1, 2)))


def _labels(array: NDArray[Any], what: str) -> Tensor:
    require(
        array.ndim == 1 and array.dtype.kind in "iu",
        f"{what}: expected n integers, got {array.dtype} of shape {array.shape}",
    )
    return torch.from_numpy(array.astype(np.int64))


def _class_names(array: Any, labels: Tensor, path: Path) -> tuple[str, ...]:
    if array is not None:
        require(array.ndim == 1, f"{path}: class_names: expected a list of names, got shape {array.shape}")
        require(_is_text(array), f"{path}: class_names: expected text, got {array.dtype}")
        require(len(array) <= len(labels), f"{path}: {len(array):,} class_names, but only {len(labels):,} images")
        return tuple(str(name) for name in array.tolist())
    # A class may be rare, but of so many labels not most can be without an example: that is no label, but a mistake.
    require(len(labels) > 0, f"{path}: a data set without images")
    classes = 1 + int(labels.max())
    require(classes <= len(labels), f"{path}: labels up to {classes - 1}, but only {len(labels)} images in both parts")
    return tuple(str(c) for c in range(classes))


def _is_text(array: NDArray[Any]) -> bool:
    # NumPy makes Python strings of whatever numbers lie there, and Python trusts them.
    if array.dtype.kind != "U" or array.dtype.itemsize == 0:
        return array.dtype.kind in "iu"
    letters = np.ascontiguousarray(array).view(np.dtype("u4").newbyteorder(array.dtype.byteorder))
    return letters.size == 0 or int(letters.max()) <= sys.maxunicode

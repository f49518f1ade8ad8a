"""CIFAR's Python batches, read without giving the pickle a chance to run code."""

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srat.data.base import Dataset, FileSource
from srat.data.files import Remote, check_md5, fetch, locate, read_file, read_from_tar, search_folders
from srat.errors import UserError, require


class _ByteType:
    """Stands in for ``numpy.dtype``, which a pickle could make into something unsafe: unsigned bytes, or nothing."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        # Python 2, which wrote CIFAR, has the code as bytes.
        if code not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"an array of {code!r} where bytes were expected")

    def __setstate__(self, state: object) -> None:
        """Bytes have no state."""


class _ByteArray:
    """Stands in for ``numpy.ndarray``: takes shape and bytes, and checks that they fit."""

    data: NDArray[np.uint8]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take the state of a pickled array: version, shape, type, whether columns come first, bytes."""
        _, shape, kind, columns_first, content = state
        if not isinstance(kind, _ByteType) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array of something else than bytes")
        self.data = np.frombuffer(content, np.uint8).reshape(shape, order="F" if columns_first else "C")


def _reconstruct(*_: object) -> _ByteArray:
    return _ByteArray()


def _latin1(text: str, encoding: str) -> bytes:
    # How protocols below 3 write bytes.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding}")
    return text.encode("latin1")


# All that a pickled array of bytes is made of. The values are ours: nothing is looked up by the file's word.
_ARRAY_PARTS: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _ByteArray,
    ("numpy", "dtype"): _ByteType,
    ("_codecs", "encode"): _latin1,
}


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that admits plain containers and arrays of bytes, and refuses every other global."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the parts of an array, or refuse."""
        try:
            return _ARRAY_PARTS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which has no place in a file of images"
            ) from None


def read_batch(content: bytes, *, label_key: str, path: Path | str) -> tuple[Tensor, Tensor]:
    """Return images (n, 3, 32, 32) uint8 and labels (n,) of one pickled CIFAR batch.

    Raises:
        UserError: if the bytes are not such a batch.
    """
    try:
        batch = ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
        data, labels = batch[b"data"], batch[label_key.encode()]
    except Exception as error:  # whatever a stranger's pickle makes go wrong, it is the file's fault
        raise UserError(
            f"{path}: not a readable CIFAR batch, or truncated ({type(error).__name__}: {error})"
        ) from error
    valid = isinstance(data, _ByteArray) and data.data.ndim == 2 and data.data.shape[1] == 3072
    require(valid, f"{path}: expected an array of n × 3072 bytes under 'data'")
    pixels = data.data
    try:
        label_array = np.asarray(labels, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: expected integers under '{label_key}'") from error
    require(label_array.shape == pixels.shape[:1], f"{path}: {len(pixels)} images but {label_array.size} labels")
    return torch.from_numpy(pixels.reshape(-1, 3, 32, 32).copy()), torch.from_numpy(label_array)


@dataclass(frozen=True, kw_only=True)
class Cifar(FileSource):
    """What the two CIFAR sets share: a folder of batches, or the archive of that folder."""

    folder: ClassVar[str]
    archive: ClassVar[Remote]
    label_key: ClassVar[str]
    train_files: ClassVar[Mapping[str, str]]
    test_files: ClassVar[Mapping[str, str]]
    class_names: ClassVar[tuple[str, ...]]

    def train(self) -> Dataset:
        """Return the 50,000 training images."""
        return self._part(self.train_files)

    def test(self) -> Dataset:
        """Return the 10,000 test images."""
        return self._part(self.test_files)

    def _part(self, files: Mapping[str, str]) -> Dataset:
        batches = []
        for md5, (path, content) in zip(files.values(), self._contents(tuple(files)), strict=True):
            if self.verify:
                check_md5(content, md5, path)
            batches.append(read_batch(content, label_key=self.label_key, path=path))
        images, labels = (torch.cat(column) for column in zip(*batches, strict=True))
        return Dataset(images, labels, self.class_names)

    def _contents(self, names: tuple[str, ...]) -> list[tuple[Path, bytes]]:
        folders = search_folders(self.dir)
        first = locate((f"{self.folder}/{names[0]}", names[0]), folders)
        if first is not None:
            return [(path, read_file(path)) for path in (first.parent / name for name in names)]
        wanted = (f"the folder {self.folder}", self.archive.name)
        archive = locate((self.archive.name,), folders) or fetch(self.archive, self.dir, wanted)
        contents = read_from_tar(archive, [f"{self.folder}/{name}" for name in names])
        return [(archive / name, content) for name, content in zip(names, contents, strict=True)]

"""CIFAR's Python batches, read without giving the pickle a chance to run code."""

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srat.core.errors import UserError, require
from srat.data.dataset import Dataset, FileSource
from srat.data.reading.downloads import Remote, check_md5, fetch, locate, read_file, read_from_tar, search_folders
from srat.data.record import Part


class _ByteType:
    """Stands in for ``numpy.dtype``, which a pickle could make into something unsafe: unsigned bytes, or nothing."""

    def __init__(self, code: object, *_: object) -> None:
        # Python 2, which wrote CIFAR, has the code as bytes. What is refused is not shown: it may have no end.
        if code not in ("u1", b"u1"):
            raise pickle.UnpicklingError("an array of something else where bytes were expected")

    def __setstate__(self, state: object) -> None:
        """Bytes have no state."""


class _ByteArray:
    """Stands in for ``numpy.ndarray``: takes shape and bytes, and checks that they fit."""

    data: NDArray[np.uint8]

    def __setstate__(self, state: Any) -> None:
        """Take the state of a pickled array: version, shape, type, whether columns come first, bytes."""
        _, shape, kind, columns_first, content = state
        plain = isinstance(shape, tuple) and all(type(length) is int for length in shape)
        if not plain or not isinstance(kind, _ByteType) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array of something else than bytes")
        self.data = np.frombuffer(content, np.uint8).reshape(shape, order="F" if columns_first else "C")


class _Part:
    """A callable that a pickle may ask for; having ``__setstate__``, it lets no pickle set its attributes."""

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a state for what has none")


class _Reconstruct(_Part):
    """Stands in for NumPy's function of that name."""

    def __new__(cls, *_: object) -> Any:
        return _ByteArray()


class _Latin1(_Part):
    """Stands in for ``codecs.encode``, by which protocols below 3 write bytes: no more of them than the file has."""

    def __init__(self, budget: int) -> None:
        self._budget = budget

    def __call__(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError("bytes in another encoding than latin1")
        self._budget -= len(text)
        if self._budget < 0:
            raise pickle.UnpicklingError("the same bytes over and over")
        return text.encode("latin1")


# All that a pickled array of bytes is made of. The values are ours: nothing is looked up by the file's word.
_ARRAY_PARTS: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct,
    ("numpy", "ndarray"): _ByteArray,
    ("numpy", "dtype"): _ByteType,
}


# What pickles of dictionaries, lists, strings, integers and arrays are made of, by protocols 0 to 5.
_OPCODES = frozenset(
    """
    PROTO FRAME STOP MARK MEMOIZE PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET NONE NEWTRUE NEWFALSE
    INT BININT BININT1 BININT2 LONG LONG1 STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE
    BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 GLOBAL STACK_GLOBAL REDUCE BUILD
    """.split()  # noqa: SIM905 - forty quoted names are no easier to read
)
_MOST_OPCODES, _LONGEST_TUPLE, _LARGEST_NUMBER = 500_000, 16, 1 << 62


def check_opcodes(content: bytes) -> None:
    """Refuse a pickle of other parts, of so many that it would take minutes, or of numbers that collide as keys.

    Raises:
        UnpicklingError: with the reason.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name not in _OPCODES:
            raise pickle.UnpicklingError(f"it has the opcode {opcode.name}")
        if count > _MOST_OPCODES:
            raise pickle.UnpicklingError("it has no end")
        if isinstance(argument, int) and abs(argument) > _LARGEST_NUMBER:
            raise pickle.UnpicklingError("it has a huge number")


def _shallow(load: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return how to load a tuple, but none deeper than an array's state, which has a tuple in it."""

    def load_shallow(unpickler: Any) -> None:
        load(unpickler)
        if len(unpickler.stack[-1]) > _LONGEST_TUPLE:
            raise pickle.UnpicklingError("it has a long tuple")
        # The hash of a deep one takes forever, or the stack.
        if any(isinstance(inner, tuple) for part in unpickler.stack[-1] if isinstance(part, tuple) for inner in part):
            raise pickle.UnpicklingError("it has tuples in tuples in tuples")

    return load_shallow


_PLAIN_LOADS = pickle._Unpickler.dispatch
_TUPLE_CODES = (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)


class ArrayUnpickler(pickle._Unpickler):
    """An unpickler that admits plain containers and arrays of bytes, and refuses every other global.

    It is the standard library's in Python: that in C makes room for whatever index a memo is put under.
    """

    dispatch: ClassVar[Any] = _PLAIN_LOADS | {code[0]: _shallow(_PLAIN_LOADS[code[0]]) for code in _TUPLE_CODES}

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._parts = {**_ARRAY_PARTS, ("_codecs", "encode"): _Latin1(len(content))}

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the parts of an array, or refuse."""
        try:
            return self._parts[module, name]
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
        check_opcodes(content)
        batch = ArrayUnpickler(content).load()
        data, labels = batch[b"data"], batch[label_key.encode()]
    except Exception as error:  # whatever a stranger's pickle makes go wrong, it is the file's fault
        raise UserError(
            f"{path}: not a readable CIFAR batch, or truncated ({type(error).__name__}: {error})"
        ) from error
    valid = isinstance(data, _ByteArray) and data.data.ndim == 2 and data.data.shape[1] == 3072
    require(valid, f"{path}: expected an array of n × 3072 bytes under 'data'")
    pixels = data.data
    plain = isinstance(labels, list) and all(type(label) is int and 0 <= label < 1_000 for label in labels)
    require(plain, f"{path}: expected a list of labels under '{label_key}'")
    label_array = np.asarray(labels, dtype=np.int64)
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

    def read(self, part: Part) -> Dataset:
        """Return the 50,000 training or the 10,000 test images."""
        files = self.train_files if part == "train" else self.test_files
        batches = []
        for md5, (path, content) in zip(files.values(), self._contents(tuple(files)), strict=True):
            if self.verify:
                check_md5(content, md5, path)
            batches.append(read_batch(content, label_key=self.label_key, path=path))
        images, labels = (torch.cat(column) for column in zip(*batches, strict=True))
        return Dataset(images, labels, self.class_names)

    def find(self, name: str = "") -> Path | None:
        """Return where a file of it lies, that of the test part unless told otherwise, or else the archive."""
        name, folders = name or next(iter(self.test_files)), search_folders(self.dir)
        return locate((f"{self.folder}/{name}", name), folders) or locate((self.archive.name,), folders)

    def _contents(self, names: tuple[str, ...]) -> list[tuple[Path, bytes]]:
        found = self.find(names[0])
        if found is not None and found.name != self.archive.name:
            return [(path, read_file(path)) for path in (found.parent / name for name in names)]
        wanted = (f"the folder {self.folder}", self.archive.name)
        archive = found or fetch(self.archive, self.dir, wanted)
        contents = read_from_tar(archive, [f"{self.folder}/{name}" for name in names])
        return [(archive / name, content) for name, content in zip(names, contents, strict=True)]

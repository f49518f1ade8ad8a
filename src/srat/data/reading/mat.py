"""Arrays of numbers from MATLAB 5 files, every length of which is checked; SciPy's reader crashes on some of them."""

import math
import zlib
from collections.abc import Container, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srat.core.errors import require
from srat.core.files import size

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX = 0x08
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}


def read_arrays(content: bytes, names: Container[str], *, limit: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of a MATLAB 5 file that have the given names.

    Args:
        content: the file.
        names: what to read; all else is passed over.
        limit: the most bytes that are unpacked.

    Raises:
        ValueError: if the file is damaged, or such an array is no plain one of real numbers.

    Source: MATLAB's "MAT-File Level 5 File Format".
    """
    marks = {b"IM": "<", b"MI": ">"}
    require(content[126:128] in marks, "expected a file of MATLAB 5")
    order, arrays = marks[content[126:128]], {}
    for kind, data in _elements(memoryview(content)[_HEADER:], order):
        if kind == _COMPRESSED:
            data = memoryview(_unpacked(data, limit))
            limit -= len(data)
            kind, data = next(_elements(data, order), (0, data))
        if kind == _MATRIX:
            name, array = _array(data, order, names)
            require(name not in arrays, f"there are two arrays {name}")
            if array is not None:
                arrays[name] = array
    return arrays


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    position = 0
    while position + 8 <= len(data):
        kind, count = (int(word) for word in np.frombuffer(data[position : position + 8], f"{order}u4"))
        if kind >> 16:  # a small one: type, count and data in eight bytes
            kind, count, start, end = kind & 0xFFFF, kind >> 16, position + 4, position + 8
            require(count <= 4, "damaged")
        else:
            start = position + 8
            end = start + count + (-count % 8 if kind != _COMPRESSED else 0)
        require(start + count <= len(data), "truncated")
        yield kind, data[start : start + count]
        position = end


def _unpacked(data: memoryview, limit: int) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(data, limit + 1)
    require(len(content) <= limit, f"it unpacks to more than {size(limit)}")
    require(unpacker.eof, "truncated")
    return content


def _array(data: memoryview, order: str, names: Container[str]) -> tuple[str, NDArray[Any] | None]:
    parts = list(islice(_elements(data, order), 4))
    require(len(parts) >= 3, "damaged")
    (_, flags), (kind, lengths), (_, label), *values = parts
    name = bytes(label).decode("latin1")
    if name not in names:
        return name, None
    (word,) = np.frombuffer(flags[:4], f"{order}u4")
    plain = word & 0xFF in _NUMERIC_CLASSES and not (word >> 8) & _COMPLEX
    require(plain and kind == 5 and len(values) == 1 and values[0][0] in _TYPES, f"{name} is no array of real numbers")
    shape = tuple(int(length) for length in np.frombuffer(lengths, f"{order}i4"))
    array = np.frombuffer(values[0][1], order + _TYPES[values[0][0]])
    require(
        min(shape, default=0) >= 0 and math.prod(shape) == len(array),
        f"{name} of shape {shape} has {len(array)} numbers",
    )
    return name, array.reshape(shape, order="F")

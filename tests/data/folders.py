"""Folders of images, made of a few words."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srat.core.errors import UserError
from srat.data.sources.folder import Folder


def picture(seed=0, *, size=(8, 8), mode="RGB"):
    """Return an image of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(seed=0, kind="PNG", **how):
    """Return an image file's bytes."""
    file = io.BytesIO()
    picture(seed, **how).save(file, kind)
    return file.getvalue()


def deep_png(levels, kind, clear=None):
    """Return a PNG file's bytes: 16 bits per channel, of PNG's colour type, with one clear level or colour.

    Args:
        levels: height × width × channels.
        kind: 0 grey, 2 colour, 4 grey and alpha, 6 colour and alpha.
        clear: a value for each channel.
    """
    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    clear_chunk = b"" if clear is None else _chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear))
    content = _chunk(b"IHDR", header) + clear_chunk + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def deep_tiff(levels):
    """Return a TIFF file's bytes: 16 bits in each of 3 or 4 channels.

    Args:
        levels: height × width × channels.
    """
    height, width, channels = levels.shape
    pixels, bits = levels.astype("<u2").tobytes(), struct.pack(f"<{channels}H", *[16] * channels)
    tags = 9 + (channels == 4)
    there = 8 + 2 + 12 * tags + 4
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, there), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, there + len(bits)), (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, len(pixels))]
    entries += [(338, 3, 1, 2)] * (channels == 4)
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, tags) + table + struct.pack("<I", 0) + bits + pixels


def deep_sgi(levels):
    """Return an SGI file's bytes: 16 bits in each channel.

    Args:
        levels: height × width × channels.
    """
    height, width, channels = levels.shape
    header = struct.pack(">hBBHHHHll4x80sl404x", 474, 0, 2, 3, width, height, channels, 0, 65_535, b"", 0)
    return header + np.moveaxis(levels[::-1], 2, 0).astype(">u2").tobytes()


def deep_ppm(levels):
    """Return a PPM file's bytes: 16 bits in each channel.

    Args:
        levels: height × width × 3.
    """
    return b"P6 %d %d 65535\n" % (levels.shape[1], levels.shape[0]) + levels.astype(">u2").tobytes()


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def put(path, content=None):
    """Write a file, by default an image of its own, and the folders around it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(abs(hash(str(path))) % 2**32) if content is None else content)
    return path


def classes(folder, *names, n=20, start=0):
    """Put n images into a folder for each class."""
    for name in names:
        for i in range(start, start + n):
            put(Path(folder) / name / f"{name}{i}.png")
    return Path(folder)


def files_there(folder, above=()):
    """Return every file, and every link that leads to no folder, by a walk of its own; links that go in circles too."""
    found, real = [], os.path.realpath(folder)
    above = above or [str(path) for path in Path(real).parents]
    for name in os.listdir(folder):  # noqa: PTH208
        path = os.path.join(folder, name)  # noqa: PTH118
        if os.path.isdir(path) and os.path.realpath(path) not in (*above, real):  # noqa: PTH112
            found += files_there(path, (*above, real))
        else:
            found.append(path)
    return sorted(found)


def counts(folder, **how):
    """Return how many images of each class are in each part that is read."""
    source = Folder(dir=folder, **how)
    found = source.found(folder)
    named = {part: [found.class_names[label] for _, label in images] for part, images in found.parts.items()}
    return {part: {name: names.count(name) for name in found.class_names} for part, names in named.items()}


def refused(folder, said, **how):
    """See that a folder is refused with these words, in one line."""
    with pytest.raises(UserError, match=said) as error:
        Folder(dir=folder, **how).parts()
    assert "\n" not in str(error.value)


def table(path, *rows):
    """Write a table, a text a line."""
    return put(path, "\n".join(rows).encode())

"""Folders of images, made of a few words."""

import io
import os
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

"""What an .npz file of a user's own holds: images, their labels, and which of them are of which part."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from srat.core.errors import UserError, printable, require
from srat.core.files import content_digest
from srat.core.words import few
from srat.data.array_file.names import CLASS_NAMES, naming_notes, pairs_of
from srat.data.array_file.values import image_notes, read_images, read_labels
from srat.data.counts import require_labels
from srat.data.pixels import pixel_digests, to_unit
from srat.data.reading.npz import names_in, read_npz
from srat.data.record import Part

Positions = Int[Tensor, " _"]
_HASHED = 4_096
"""Images of floating point that are copied at a time."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """The labelled images of a file, one after the other, part by part."""

    place: Path
    images: Mapping[Part, Tensor]
    """By part: n × C × H × W, uint8 or float32 in [0, 1]."""
    labels: Int[Tensor, " rows"]
    """Those of all parts."""
    named: NDArray[Any] | None
    """The array of class names, if there is one."""
    notes: tuple[str, ...]

    @cached_property
    def parts(self) -> dict[Part, range]:
        """The positions of each part's images."""
        ends = np.cumsum([len(images) for images in self.images.values()]).tolist()
        return {
            part: range(end - len(images), end) for (part, images), end in zip(self.images.items(), ends, strict=True)
        }

    @cached_property
    def digests(self) -> list[str]:
        """What names the content of each image."""
        return [digest for images in self.images.values() for digest in content_digests(images)]

    @cached_property
    def pixels(self) -> list[str]:
        """What names the pixels of each image, whether they are bytes or floating point."""
        return [digest for images in self.images.values() for digest in pixel_digests(images)]

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each class, in the order of the labels.

        Raises:
            UserError: if the file's are no such names, or the labels are none.
        """
        return names_of_classes(self.named, self.labels, self.place)

    def take(self, positions: Positions) -> Tensor:
        """Return the images at ``positions``, whichever parts they are in.

        Args:
            positions: in the order that is wanted.
        """
        chosen = []
        for part, own in self.parts.items():
            if torch.equal(positions, torch.arange(own.start, own.stop)):
                return self.images[part]
            within = (positions >= own.start) & (positions < own.stop)
            if within.any():
                chosen.append((within, self.images[part][positions[within] - own.start]))
        alike = all(images.dtype == torch.uint8 for _, images in chosen)
        shape = next(iter(self.images.values())).shape[1:]
        taken = torch.empty((len(positions), *shape), dtype=torch.uint8 if alike else torch.float32)
        for within, images in chosen:
            taken[within] = images if alike else to_unit(images)
        return taken


def read_rows(place: Path, *, only: Sequence[str] | None = None) -> Rows:
    """Return what a file holds.

    Args:
        place: the .npz file.
        only: names of arrays beside which no others count; all count if None.

    Raises:
        UserError: if it cannot be read, or is laid out otherwise.
    """
    names = [name for name in names_in(place) if only is None or name in only]
    try:
        pairs = pairs_of(names)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
    used = [name for pair in pairs.values() for name in pair]
    arrays = read_npz(place, [*used, *(name for name in names if name == CLASS_NAMES)])
    notes = (*naming_notes(pairs, names), *_image_notes({pair.images: arrays[pair.images] for pair in pairs.values()}))
    images = {part: read_images(arrays.pop(pair.images), f"{place}: {pair.images}") for part, pair in pairs.items()}
    labels = {
        part: read_labels(arrays[pair.labels], f"{place}: {pair.labels}", images=len(images[part]))
        for part, pair in pairs.items()
    }
    _check_shapes(images, place)
    return Rows(
        place=place,
        images=images,
        labels=torch.cat(tuple(labels.values())),
        named=arrays.get(CLASS_NAMES),
        notes=notes,
    )


def content_digests(images: Tensor) -> Iterator[str]:
    """Yield what names the content of each image.

    Args:
        images: n × C × H × W.
    """
    for some in torch.split(images, _HASHED):
        # −0 and 0 are one value, of different bytes.
        plain = some.contiguous() if some.dtype == torch.uint8 else some + 0.0
        for image in plain.numpy():
            yield content_digest(image.data)


def names_of_classes(named: NDArray[Any] | None, labels: Tensor, place: Path) -> tuple[str, ...]:
    """Return a name for each class, numbers if there are none.

    Args:
        named: the array of names.
        labels: those of all images.
        place: the file.

    Raises:
        UserError: if the names are no text, a label is below 0, or there are more classes than images.
    """
    if named is not None:
        require(named.ndim == 1, f"{place}: class_names: expected a list of names, got shape {named.shape}")
        require(_is_text(named), f"{place}: class_names: expected text, got {named.dtype}")
        require(len(named) <= len(labels), f"{place}: {len(named):,} class_names, but only {len(labels):,} images")
        return tuple(str(name) for name in named.tolist())
    # A class may be rare, but of so many labels not most can be without an example: that is a mistake, not a label.
    require(len(labels) > 0, f"{place}: expected at least one image, got none")
    try:
        require_labels(labels, None)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
    classes = 1 + int(labels.max())
    require(classes <= len(labels), f"{place}: labels up to {classes - 1}, but only {len(labels)} images in all parts")
    return tuple(str(c) for c in range(classes))


def require_legible(class_names: Sequence[str], place: Path) -> None:
    """Raise ``UserError`` unless the name of each class is printable, and more than spaces."""
    odd = [name for name in class_names if not name.strip() or printable(name) != name]
    got = few([repr(name) for name in odd])
    require(not odd, f"{place}: class_names: expected a printable name for each class, got {got}")


def _check_shapes(images: Mapping[Part, Tensor], place: Path) -> None:
    """Raise ``UserError`` unless the images of all parts are of one shape."""
    wanted = images["train"].shape[1:]
    for part, each in images.items():
        shape = tuple(each.shape[1:])
        require(shape == wanted, f"{place}: training images are of shape {tuple(wanted)}, {part} images of {shape}")


def _image_notes(arrays: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """Yield what is to be said of images, once where it is so of several arrays."""
    said: dict[str, list[str]] = {}
    for name, array in arrays.items():
        for note in image_notes(array):
            said.setdefault(note, []).append(name)
    for note, names in said.items():
        yield f"{', '.join(names)}: {note}"


def _is_text(array: NDArray[Any]) -> bool:
    # NumPy makes Python strings of whatever numbers lie there, and Python trusts them.
    if array.dtype.kind != "U" or array.dtype.itemsize == 0:
        return array.dtype.kind in "iu"
    letters = np.ascontiguousarray(array).view(np.dtype("u4").newbyteorder(array.dtype.byteorder))
    return letters.size == 0 or int(letters.max()) <= sys.maxunicode

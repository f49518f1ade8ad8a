"""What a plan has to know of the data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from srat.config.config import Config
from srat.core.errors import require
from srat.data import Dataset, Source
from srat.data.imbalance import realised_ratio
from srat.data.preparation import check_classes
from srat.data.reading.decoding import read_header
from srat.data.reading.image_files import ImageFiles, read_each
from srat.data.sources.folder import Folder, checked_folder

Size = tuple[int, int]
"""Width and height."""
SIDES = (32, 48, 64)
"""Pixels to a side that images are resized to."""
DECODED = 48
"""Images that are decoded to see how long one takes."""
READINGS = 2.5
"""How often a training reads each file: its image, its digest, the pixels that name it."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The data of a run, as far as they decide how it is best trained."""

    counts: tuple[int, ...]
    """Training images of each class that the imbalance keeps."""
    test: int
    """Test images."""
    validation: int = 0
    """Images of a validation part of the data's own."""
    channels: int = 3
    height: int = 32
    """Pixels, where the images stay as they are."""
    width: int = 32
    sides: tuple[int, ...] = ()
    """Sides that the images may be resized to, the smallest first; none where they stay as they are."""
    reading: float = 0.0
    """Seconds until all images are read."""
    streaming: float = 0.0
    """Seconds to read one more training image, where they stay in their files; 0 where they fit into memory."""

    @cached_property
    def images(self) -> int:
        """Training images that the imbalance keeps."""
        return sum(self.counts)

    @property
    def rarest(self) -> int:
        """Training images of the rarest class."""
        return min(self.counts)

    @property
    def ratio(self) -> float:
        """Images of the largest class for each of the rarest."""
        return realised_ratio(self.counts)

    def side(self, wanted: int) -> int | None:
        """Return the side to resize to, at most the one that is wanted; None where the images stay as they are."""
        return max((side for side in self.sides if side <= wanted), default=min(self.sides, default=None))

    def shape(self, side: int | None) -> tuple[int, int, int]:
        """Return channels, height and width of images of a side."""
        return (self.channels, self.height, self.width) if side is None else (self.channels, side, side)


def look_at(config: Config, clock: Callable[[], float]) -> Facts:
    """Return what a plan has to know of a run's data.

    Args:
        config: the run; of a folder without a size the images are looked at for those that suit.
        clock: seconds from any moment on.

    Raises:
        UserError: if the data cannot be read, or a class has no training image.
    """
    sides = sides_of(stored_sizes(config.data))
    source = replace(config.data, size=sides[0]) if sides and isinstance(config.data, Folder) else config.data
    began = clock()
    parts = source.parts()
    train, validation, test = parts.train(), parts.validation(), parts.test()
    check_classes(train)
    kept = config.imbalance.kept(train.labels, train.counts, seed=config.seed)
    counts = torch.bincount(train.labels[kept], minlength=len(train.counts)).tolist()
    images, files = train.images, len(train) + len(test) + (0 if validation is None else len(validation))
    of_one = 0.0 if isinstance(images, Tensor) else decoding(images, clock)
    channels, height, width = images.shape[1:]
    return Facts(
        counts=tuple(counts),
        test=len(test),
        validation=0 if validation is None else len(validation),
        channels=channels,
        height=height,
        width=width,
        sides=sides,
        reading=clock() - began if isinstance(images, Tensor) else READINGS * files * of_one,
        streaming=of_one if stays(train, max(sides, default=None)) else 0.0,
    )


def stored_sizes(source: Source) -> Sequence[Size]:
    """Return width and height of each image in a folder that is not resized yet; none of other sources.

    Raises:
        UserError: if there is no such folder, or an image cannot be read.
    """
    if not isinstance(source, Folder) or source.size is not None:
        return []
    found = source.found(checked_folder(source.dir))
    require(bool(found.paths), f"{found.place}: there are no images")
    return [header.size for header in read_each(read_header, found.paths, source.threads)]


def sides_of(sizes: Sequence[Size]) -> tuple[int, ...]:
    """Return the sides that images may be resized to: none where all are of one square size up to 64 pixels.

    They are those of 32, 48 and 64 pixels that half of the images have, so that most lose detail and none is blown up;
    more takes long to train under attack, and is the user's choice.

    Args:
        sizes: width and height of each image.
    """
    different = set(sizes)
    if not different or (len(different) == 1 and sizes[0][0] == sizes[0][1] <= SIDES[-1]):
        return ()
    middle = sorted(map(min, sizes))[len(sizes) // 2]
    return tuple(side for side in SIDES if side <= middle) or SIDES[:1]


def decoding(images: ImageFiles, clock: Callable[[], float]) -> float:
    """Return the seconds that it takes to decode an image, as some that are evenly spread do."""
    chosen = torch.linspace(0, len(images) - 1, min(len(images), DECODED)).round().long()
    began = clock()
    images[chosen]
    return (clock() - began) / len(chosen)


def stays(train: Dataset, side: int | None) -> bool:
    """Return whether the training images stay in their files, at the side that takes most memory."""
    images = train.images
    if isinstance(images, Tensor):
        return False
    return images.stays if side is None else replace(images, height=side, width=side).stays

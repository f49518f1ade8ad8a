"""What every part of the house means by a data set."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from srat.core.checked import Checked, checked
from srat.core.errors import UserError, require, require_field
from srat.core.members import NOT_IDENTITY, Member
from srat.data.class_words import ClassWord, labels_of
from srat.data.counts import anywhere, require_labels
from srat.data.labels import as_labels
from srat.data.pixels import check_axes, check_images
from srat.data.reading.image_files import ImageFiles
from srat.data.record import Part, Record
from srat.runtime.machine import as_device, available

Device = torch.device | str


@dataclass(frozen=True, eq=False)
class Dataset(Checked):
    """Labelled images.

    Args:
        images: (n, channels, height, width), uint8 in [0, 255] or floating point in [0, 1]; or files of images.
        labels: (n,), integers in [0, classes); a column, booleans and floating point that is whole are understood.
        class_names: a name for each class, in the order of the labels.
        groups: (n,), integers: images of one number belong together, as the frames of a recording do, and are held out
            together; None where each is by itself.

    Raises:
        UserError: if shapes, labels or pixel values are not as stated.
    """

    images: Tensor | ImageFiles
    labels: Tensor
    class_names: tuple[str, ...]
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        images, labels, classes = self.images, self.labels, len(self.class_names)
        if isinstance(images, Tensor):
            check_axes(images)
        labels = as_labels(labels, images=len(images))
        object.__setattr__(self, "labels", labels)
        if self.groups is not None:
            whole = self.groups.dim() == 1 and not self.groups.is_floating_point() and not self.groups.is_complex()
            there = f"{tuple(self.groups.shape)} of {str(self.groups.dtype).removeprefix('torch.')}"
            require(whole and len(self.groups) == len(labels), f"groups: expected {len(labels)} integers, got {there}")
        require(len(images) > 0, "images: expected at least one, got none")
        require(min(images.shape) > 0, f"images: expected pixels, got shape {tuple(images.shape)}")
        check_names(self.class_names)
        require(classes >= 2, f"expected at least two classes, got {classes}: {', '.join(self.class_names)}")
        require_labels(labels, classes)
        if isinstance(images, Tensor):
            check_images(images)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Number of examples in each class."""
        return tuple(torch.bincount(self.labels, minlength=len(self.class_names)).tolist())

    @checked
    def with_classes(self, labels: tuple[int, ...]) -> "Dataset":
        """Return the examples of these classes alone, renumbered in this order.

        Raises:
            UserError: if one is not there, or named twice.
        """
        there = len(self.class_names)
        odd = tuple(label for label, times in Counter(labels).items() if times > 1 or not 0 <= label < there)
        require_field(not odd, "data.classes", f"labels from 0 to {there - 1}, each once", odd)
        renumbered = torch.full((there,), -1)
        renumbered[list(labels)] = torch.arange(len(labels))
        new = renumbered[self.labels]
        kept = torch.nonzero(new >= 0).flatten()
        images = self.images[kept] if isinstance(self.images, Tensor) else self.images.subset(kept)
        return Dataset(images, new[kept], tuple(self.class_names[label] for label in labels), self._groups_at(kept))

    @checked
    def subset(self, indices: Int[Tensor, " kept"]) -> "Dataset":
        """Return the examples at ``indices``, images and labels in step.

        Raises:
            UserError: if one is not there; they are looked at on the CPU alone.
        """
        if indices.device.type == "cpu" and anywhere((indices < -len(self)) | (indices >= len(self))):
            got = f"got {int(indices.min())} to {int(indices.max())}"
            raise UserError(f"indices: expected integers from 0 to {len(self) - 1}, {got}")
        indices = indices.to(self.labels.device)
        images = self.images
        kept = images[indices.to(images.device)] if isinstance(images, Tensor) else images.subset(indices)
        return Dataset(kept, self.labels[indices], self.class_names, self._groups_at(indices))

    def _groups_at(self, indices: Tensor) -> Tensor | None:
        return None if self.groups is None else self.groups[indices.to(self.groups.device)]

    @checked
    def sample(self, images: int) -> "Dataset":
        """Return the first images of each class, as many of each, in memory.

        Args:
            images: how many at the most, of all classes together that have any.

        Raises:
            UserError: if that is less than one of each class.
        """
        classes = sum(count > 0 for count in self.counts)
        require_field(images >= classes, "images", f"at least one of each of {classes} classes", images)
        each = images // classes
        by_class = [(self.labels == c).nonzero().flatten()[:each] for c in range(len(self.class_names))]
        chosen = torch.cat(by_class).sort().values
        whole = self.subset(chosen)
        return Dataset(whole.images[:], whole.labels, self.class_names, whole.groups)

    @property
    def streamed(self) -> bool:
        """Whether the images lie elsewhere than the labels, and have to be brought for each batch."""
        return not isinstance(self.images, Tensor) or self.images.device != self.labels.device

    @checked
    def to(self, device: Device) -> "Dataset":
        """Return the same examples on ``device``; images that do not fit into half of it stay where they are."""
        device = as_device(device)
        images = self.images if isinstance(self.images, Tensor) else self.images.loaded()
        if isinstance(images, Tensor) and (device.type == "cpu" or images.nbytes <= available(device) // 2):
            images = images.to(device)
        return Dataset(images, self.labels.to(device), self.class_names, self.groups)


def check_names(class_names: tuple[str, ...]) -> None:
    """Raise ``UserError`` unless each class has a name of its own, which UTF-8 can write."""
    twice = [name for name, times in Counter(class_names).items() if times > 1]
    require(not twice, f"class names: expected each once, got '{''.join(twice[:1])}' twice")
    for name in class_names:
        require(name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name), f"class name '{name}': not UTF-8")


@dataclass(frozen=True, kw_only=True)
class Suggested:
    """The settings that suit a data source, used where the user gives none (budgets in [0, 1] pixel units)."""

    model: str = "resnet18"
    imbalance: str = "step"
    augmentation: str = "crop-flip"
    epochs: int = 200
    learning_rate: float = 0.1
    epsilon: float = 8 / 255
    step_size: float = 2 / 255
    mirrored: bool = True
    """Whether an image is of its class in a mirror, too; a digit is not."""


def nothing_recorded() -> None:
    """Return None: what is published stays as it is, and needs no record."""


@dataclass(frozen=True, kw_only=True)
class Parts(Checked):
    """The parts of a source; each is read when it is asked for, so that training cannot see the test."""

    read: Callable[[Part], Dataset]
    """A part → its images, with all its classes."""
    classes: tuple[ClassWord, ...] = ()
    """Classes to keep, by name or label, renumbered in this order; all if there are none."""
    there: frozenset[Part] = frozenset({"train", "test"})
    """The parts that there are."""
    notes: tuple[str, ...] = ()
    """What a user should know of them, a line each: files passed over, images that came since, and the like."""
    missing: Mapping[Part, Sequence[str]] = field(default_factory=dict)
    """Recorded images that are gone or changed, by name."""
    new: Callable[[Callable[[str], None]], Dataset] | None = None
    """Reads the images that came since a run recorded its own, of the classes that it knows, and tells of the others;
    None if none can come."""
    record: Callable[[], Record | None] = nothing_recorded
    """Makes what a run keeps, so that it goes on with these very images whatever becomes of the source."""

    def train(self) -> Dataset:
        """Return the training part."""
        return self._chosen("train")

    def validation(self) -> Dataset | None:
        """Return the source's own validation part, if it has one."""
        return self._chosen("validation") if "validation" in self.there else None

    def test(self) -> Dataset:
        """Return the test part."""
        return self._chosen("test")

    def unrecorded(self, told: Callable[[str], None] = lambda _: None) -> Dataset:
        """Return the images that came since a run recorded its own.

        Args:
            told: called with a note on images whose class the run does not know.

        Raises:
            UserError: if there are no such images.
        """
        if self.new is None:
            raise UserError("this data set does not change: there are no new images")
        return self._with_chosen_classes(self.new(told))

    def _chosen(self, part: Part) -> Dataset:
        return self._with_chosen_classes(self.read(part))

    def _with_chosen_classes(self, dataset: Dataset) -> Dataset:
        return dataset.with_classes(labels_of(self.classes, dataset.class_names)) if self.classes else dataset


@dataclass(frozen=True, kw_only=True)
class Source(Member):
    """Where labelled images come from."""

    suggested: ClassVar[Suggested] = Suggested()
    there: ClassVar[frozenset[Part]] = frozenset({"train", "test"})
    classes: tuple[ClassWord, ...] = ()
    """Classes to keep, by name or by label from 0, renumbered in this order; all unless given."""

    @property
    def title(self) -> str:
        """What the data set is called in tables and pages."""
        return self.name

    def parts(self, record: Record | None = None) -> Parts:
        """Return the parts, ready to be read.

        Args:
            record: what a run recorded of them; a source that can change gives back the very images in it.
        """
        del record
        return Parts(read=self.read, classes=self.classes, there=self.there)

    def train(self) -> Dataset:
        """Return the training part."""
        return self.parts().train()

    def test(self) -> Dataset:
        """Return the test part."""
        return self.parts().test()

    def read(self, part: Part) -> Dataset:
        """Return a part as it lies there, with all its classes."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class FileSource(Source):
    """A published data set that lies in files."""

    fetched: ClassVar[bool] = True
    """Whether it is downloaded where it is not there."""
    dir: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """Folder that holds the files (else $SRAT_DATA_DIR, else the download cache)."""
    verify: bool = field(default=True, metadata=NOT_IDENTITY)
    """Compare the files' checksums with the published ones."""

    def find(self) -> Path | None:
        """Return where a file of it lies; None if it would have to be fetched."""
        raise NotImplementedError

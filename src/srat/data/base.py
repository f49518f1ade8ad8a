"""What every part of the house means by a data set."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
import tyro
from jaxtyping import Float, Int
from torch import Tensor

from srat.data.image_files import ImageFiles
from srat.errors import require
from srat.machine import available
from srat.registry import NOT_IDENTITY, Member

Device = torch.device | str
Part = Literal["train", "test"]
DataDir = Annotated[Path | None, tyro.conf.arg(aliases=("--data-dir",))]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images.

    Args:
        images: (n, channels, height, width), uint8 in [0, 255] or floating point in [0, 1]; or files of images.
        labels: (n,), integers in [0, classes).
        class_names: a name for each class, in the order of the labels.

    Raises:
        UserError: if shapes, labels or pixel values are not as stated.
    """

    images: Tensor | ImageFiles
    labels: Tensor
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        images, labels, classes = self.images, self.labels, len(self.class_names)
        require(
            images.ndim == 4, f"images: expected 4 axes (n, channels, height, width), got shape {tuple(images.shape)}"
        )
        require(
            labels.shape == images.shape[:1],
            f"labels: expected one for each of {len(images)} images, got shape {tuple(labels.shape)}",
        )
        require(len(images) > 0, "a data set without images")
        require(min(images.shape) > 0, f"images: expected pixels, got shape {tuple(images.shape)}")
        check_names(self.class_names)
        require(classes >= 2, f"expected at least two classes, got {classes}: {', '.join(self.class_names)}")
        low, high = int(labels.min()), int(labels.max())
        require(low >= 0 and high < classes, f"labels: expected integers from 0 to {classes - 1}, got {low} to {high}")
        if isinstance(images, Tensor):
            check_images(images)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Number of examples in each class."""
        return tuple(torch.bincount(self.labels, minlength=len(self.class_names)).tolist())

    def with_classes(self, labels: tuple[int, ...]) -> "Dataset":
        """Return the examples of these classes alone, renumbered in this order.

        Raises:
            UserError: if one is not there, or named twice.
        """
        there = len(self.class_names)
        odd = [str(label) for label, times in Counter(labels).items() if times > 1 or not 0 <= label < there]
        require(not odd, f"--data.classes: expected labels from 0 to {there - 1}, each once, got {', '.join(odd)}")
        renumbered = torch.full((there,), -1)
        renumbered[list(labels)] = torch.arange(len(labels))
        new = renumbered[self.labels]
        kept = torch.nonzero(new >= 0).flatten()
        images = self.images[kept] if isinstance(self.images, Tensor) else self.images.subset(kept)
        return Dataset(images, new[kept], tuple(self.class_names[label] for label in labels))

    def subset(self, indices: Int[Tensor, " kept"]) -> "Dataset":
        """Return the examples at ``indices``, images and labels in step."""
        indices = indices.to(self.labels.device)
        images = self.images
        kept = images[indices.to(images.device)] if isinstance(images, Tensor) else images.subset(indices)
        return Dataset(kept, self.labels[indices], self.class_names)

    def sample(self, images: int) -> "Dataset":
        """Return the first images of each class, as many of each, in memory.

        Args:
            images: how many at the most, of all classes together.

        Raises:
            UserError: if that is less than one of each class.
        """
        classes = len(self.class_names)
        require(images >= classes, f"--images: expected at least one of each of {classes} classes, got {images}")
        each = images // classes
        by_class = [(self.labels == c).nonzero().flatten()[:each] for c in range(len(self.class_names))]
        chosen = torch.cat(by_class).sort().values
        whole = self.subset(chosen)
        return Dataset(whole.images[:], whole.labels, self.class_names)

    @property
    def streamed(self) -> bool:
        """Whether the images lie elsewhere than the labels, and have to be brought for each batch."""
        return not isinstance(self.images, Tensor) or self.images.device != self.labels.device

    def to(self, device: Device) -> "Dataset":
        """Return the same examples on ``device``; images that do not fit into half of it stay where they are."""
        device = torch.device(device)
        images = self.images if isinstance(self.images, Tensor) else self.images.loaded()
        if isinstance(images, Tensor) and (device.type == "cpu" or images.nbytes <= available(device) // 2):
            images = images.to(device)
        return Dataset(images, self.labels.to(device), self.class_names)


def check_names(class_names: tuple[str, ...]) -> None:
    """Raise ``UserError`` unless each class has a name of its own, which UTF-8 can write."""
    twice = [name for name, times in Counter(class_names).items() if times > 1]
    require(not twice, f"class names: expected each once, got '{''.join(twice[:1])}' again")
    for name in class_names:
        require(name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name), f"class name '{name}': not UTF-8")


def check_images(images: Tensor) -> None:
    """Refuse images that are neither uint8 nor floating point numbers in [0, 1].

    Args:
        images: (n, channels, height, width).

    Raises:
        UserError: on another dtype, NaN or infinity, or values outside [0, 1]. Normalisation is the model's
            first layer, so an image that was normalised before is refused here.
    """
    if images.dtype == torch.uint8:
        return
    require(images.is_floating_point(), f"images: expected uint8 or floating point, got {images.dtype}")
    low, high = (float(x) for x in torch.aminmax(images)) if images.numel() else (0.0, 0.0)
    require(low == low and high == high, "images: expected numbers in [0, 1], got NaN")
    require(
        low >= 0 and high <= 1,
        f"images: expected values in [0, 1], got {low:.4g} to {high:.4g} (the model normalises by itself)",
    )


def to_unit(images: Tensor) -> Float[Tensor, "batch channels height width"]:
    """Return images as float32 in [0, 1]: x / 255 for uint8, unchanged values otherwise.

    Args:
        images: (batch, channels, height, width), uint8 or floating point in [0, 1].
    """
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


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


@dataclass(frozen=True, kw_only=True)
class Source(Member):
    """Where labelled images come from; the two parts are loaded apart, so that training cannot see the test."""

    suggested: ClassVar[Suggested] = Suggested()
    classes: tuple[int, ...] = ()
    """Labels to keep, counted from 0, and renumbered in this order; all unless given."""

    def train(self) -> Dataset:
        """Return the training part."""
        return self._chosen(self.read("train"))

    def test(self) -> Dataset:
        """Return the test part."""
        return self._chosen(self.read("test"))

    def read(self, part: Part) -> Dataset:
        """Return a part as it lies there, with all its classes."""
        raise NotImplementedError

    def split(self) -> Mapping[Part, Sequence[str]] | None:
        """Return which files belong to which part, if that is decided here and stands nowhere else."""
        return None

    def _chosen(self, dataset: Dataset) -> Dataset:
        return dataset.with_classes(self.classes) if self.classes else dataset


@dataclass(frozen=True, kw_only=True)
class FileSource(Source):
    """A published data set that lies in files."""

    dir: DataDir = field(default=None, metadata=NOT_IDENTITY)
    """Folder that holds the files (else $SRAT_DATA_DIR, else the download cache)."""
    verify: bool = field(default=True, metadata=NOT_IDENTITY)
    """Compare the files' checksums with the published ones."""

    def find(self) -> Path | None:
        """Return where a file of it lies; None if it would have to be fetched."""
        raise NotImplementedError

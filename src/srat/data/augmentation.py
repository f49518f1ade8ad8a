"""Augmentation of whole batches where they lie; what is random is drawn on the CPU, so that it is the same anywhere."""

from dataclasses import dataclass

import torch
from jaxtyping import Num
from torch import Tensor
from torch.nn import functional as F

from srat.core.errors import require_field
from srat.core.members import Member

Images = Num[Tensor, "batch channels height width"]
"""Bytes, or floating point in [0, 1]."""


def random_flip(images: Images, *, generator: torch.Generator) -> Images:
    """Return each image mirrored left to right with probability 1/2."""
    mirror = torch.rand(len(images), 1, 1, 1, generator=generator, device=generator.device) < 0.5
    return torch.where(mirror.to(images.device, non_blocking=True), images.flip(-1), images)


def random_crop(images: Images, *, padding: int, generator: torch.Generator) -> Images:
    """Return each image shifted by up to ``padding`` pixels either way, with zeros where nothing was.

    Args:
        images: (batch, channels, height, width).
        padding: the largest shift, in pixels.
        generator: the source of the shifts.
    """
    batch, _, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    drawn = torch.randint(2 * padding + 1, (2, batch, 1), generator=generator, device=generator.device)
    shifts = drawn.to(images.device, non_blocking=True)
    rows = shifts[0] + torch.arange(height, device=images.device)
    columns = shifts[1] + torch.arange(width, device=images.device)
    examples = torch.arange(batch, device=images.device)[:, None, None]
    # Indexing with three arrays around a slice puts channels last; the transpose puts them back.
    return padded[examples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True, kw_only=True)
class Augmentation(Member):
    """A random change of training images that keeps their class."""

    def __call__(self, images: Images, *, generator: torch.Generator) -> Images:
        """Return changed images of the same shape and type."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class NoAugmentation(Augmentation, name="none"):
    """Leave the images as they are."""

    def __call__(self, images: Images, *, generator: torch.Generator) -> Images:
        """Return ``images``."""
        del generator
        return images


@dataclass(frozen=True, kw_only=True)
class CropFlip(Augmentation, name="crop-flip"):
    """Pad and crop, then mirror: the usual augmentation of CIFAR."""

    padding: int = 4
    """Largest shift, in pixels."""

    def __post_init__(self) -> None:
        require_field(0 <= self.padding <= 64, "augmentation.padding", "0 to 64 pixels", self.padding)

    def __call__(self, images: Images, *, generator: torch.Generator) -> Images:
        """Return `random_flip` of `random_crop`."""
        return random_flip(random_crop(images, padding=self.padding, generator=generator), generator=generator)

"""The usual augmentation of CIFAR, of whole batches where they lie."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch.nn import functional as F

from srat.core.errors import require_field
from srat.core.members import since
from srat.data.augmentation.base import Augmentation, Images
from srat.data.augmentation.erasing import check_probability, random_erasing


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
class CropFlip(Augmentation, name="crop-flip"):
    """Pad and crop, then mirror: the usual augmentation of CIFAR."""

    mirrors: ClassVar[bool] = True

    padding: int = 4
    """Largest shift, in pixels."""
    erasing: float = field(default=0.0, metadata=since(0.0))
    """Probability that a rectangle of the image is then filled with noise (random erasing)."""

    def __post_init__(self) -> None:
        require_field(0 <= self.padding <= 64, "augmentation.padding", "0 to 64 pixels", self.padding)
        check_probability(self.erasing)

    def __call__(self, images: Images, *, generator: torch.Generator) -> Images:
        """Return `random_erasing` of `random_flip` of `random_crop`."""
        cropped = random_crop(images, padding=self.padding, generator=generator)
        flipped = random_flip(cropped, generator=generator)
        return random_erasing(flipped, probability=self.erasing, generator=generator)

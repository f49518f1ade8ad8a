"""RandAugment: some operations of one strength, drawn for each image."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from srat.core.errors import require_field
from srat.data.augmentation.base import Images
from srat.data.augmentation.crop_flip import CropFlip
from srat.data.augmentation.operations import OPERATIONS, Bytes, number_of, on_bytes, operate

STRONGEST = 30
_CHOICE = torch.tensor([number_of(name) for name in OPERATIONS if name != "invert"])
"""Fourteen operations."""


def rand_augment(images: Bytes, *, operations: int, magnitude: int, generator: torch.Generator) -> Bytes:
    """Return each image after some operations, drawn for it with replacement among fourteen, one after the other.

    Args:
        images: (batch, channels, height, width), bytes.
        operations: N, how many.
        magnitude: M, their strength, 0 to 30; half of those that have a sign are turned the other way.
        generator: the source, on the CPU.

    Source: Cubuk et al., 2020; the strengths are torchvision's.
    """
    batch = len(images)
    drawn = torch.randint(len(_CHOICE), (operations, batch), generator=generator)
    negative = torch.randint(2, (operations, batch), generator=generator)
    levels = torch.full((batch,), magnitude / STRONGEST, dtype=torch.float64)
    for chosen, signs in zip(_CHOICE[drawn], negative, strict=True):
        images = operate(images, chosen, levels, signs)
    return images


@dataclass(frozen=True, kw_only=True)
class RandAugment(CropFlip, name="rand-augment"):
    """RandAugment, then crop-flip, as AT-BSL trains (Cubuk et al., 2020; Yue et al., 2024)."""

    operations: int = 2
    """N, operations for each image."""
    magnitude: int = 8
    """M, their strength, of 0 to 30."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_field(0 <= self.operations <= 14, "augmentation.operations", "0 to 14", self.operations)
        expected = f"0 to {STRONGEST}"
        require_field(0 <= self.magnitude <= STRONGEST, "augmentation.magnitude", expected, self.magnitude)

    @override
    def __call__(self, images: Images, *, generator: torch.Generator) -> Images:
        def change(images: Bytes) -> Bytes:
            return rand_augment(images, operations=self.operations, magnitude=self.magnitude, generator=generator)

        return super().__call__(on_bytes(images, change, whose=self.name), generator=generator)

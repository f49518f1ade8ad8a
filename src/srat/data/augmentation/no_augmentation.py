"""The images as they are."""

from dataclasses import dataclass

import torch

from srat.data.augmentation.base import Augmentation, Images


@dataclass(frozen=True, kw_only=True)
class NoAugmentation(Augmentation, name="none"):
    """Leave the images as they are."""

    def __call__(self, images: Images, *, generator: torch.Generator) -> Images:
        """Return ``images``."""
        del generator
        return images

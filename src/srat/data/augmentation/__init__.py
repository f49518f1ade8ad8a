"""Augmentations (a file each) of whole batches where they lie; what is random is drawn on the CPU."""

from srat.core.members import import_members
from srat.data.augmentation.auto_augment import AutoAugment
from srat.data.augmentation.base import Augmentation, Images
from srat.data.augmentation.crop_flip import CropFlip, random_crop, random_flip
from srat.data.augmentation.erasing import random_erasing
from srat.data.augmentation.no_augmentation import NoAugmentation
from srat.data.augmentation.rand_augment import RandAugment
from srat.data.augmentation.resized_crop import RandomResizedCrop

import_members(__name__)

__all__ = [
    "Augmentation",
    "AutoAugment",
    "CropFlip",
    "Images",
    "NoAugmentation",
    "RandAugment",
    "RandomResizedCrop",
    "random_crop",
    "random_erasing",
    "random_flip",
]

"""AutoAugment: one of the pairs of operations that were found for CIFAR-10, drawn for each image."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from srat.data.augmentation.base import Images
from srat.data.augmentation.crop_flip import CropFlip
from srat.data.augmentation.operations import Bytes, number_of, on_bytes, operate

STRONGEST = 9
POLICY = """
    invert        0.1 -  contrast      0.2 6
    rotate        0.7 2  translate-x   0.3 9
    sharpness     0.8 1  sharpness     0.9 3
    shear-y       0.5 8  translate-y   0.7 9
    auto-contrast 0.5 -  equalize      0.9 -
    shear-y       0.2 7  posterize     0.3 7
    color         0.4 3  brightness    0.6 7
    sharpness     0.3 9  brightness    0.7 9
    equalize      0.6 -  equalize      0.5 -
    contrast      0.6 7  sharpness     0.6 5
    color         0.7 7  translate-x   0.5 8
    equalize      0.3 -  auto-contrast 0.4 -
    translate-y   0.4 3  sharpness     0.2 6
    brightness    0.9 6  color         0.2 8
    solarize      0.5 2  invert        0.0 -
    equalize      0.2 -  auto-contrast 0.6 -
    equalize      0.2 -  equalize      0.6 -
    color         0.9 9  equalize      0.6 -
    auto-contrast 0.8 -  solarize      0.2 8
    brightness    0.1 3  color         0.7 0
    solarize      0.4 5  auto-contrast 0.9 -
    translate-y   0.9 9  translate-y   0.7 9
    auto-contrast 0.9 -  solarize      0.8 3
    equalize      0.8 -  invert        0.1 -
    translate-y   0.7 9  auto-contrast 0.9 -
"""
"""A pair a line: operation, probability, strength from 0 to 9 (of some none)."""
_WORDS = [line.split() for line in POLICY.split("\n") if line.strip()]
_OPERATIONS = torch.tensor([[number_of(words[place]) for place in (0, 3)] for words in _WORDS])
_PROBABILITIES = torch.tensor([[float(words[place]) for place in (1, 4)] for words in _WORDS])
_LEVELS = torch.tensor(
    [[float(words[place].replace("-", "0")) / STRONGEST for place in (2, 5)] for words in _WORDS], dtype=torch.float64
)


def auto_augment(images: Bytes, *, generator: torch.Generator) -> Bytes:
    """Return each image after one of the 25 pairs of CIFAR-10's policy, each operation with its own probability.

    Args:
        images: (batch, channels, height, width), bytes.
        generator: the source, on the CPU.

    Source: Cubuk et al., 2019, appendix; the strengths are torchvision's.
    """
    batch = len(images)
    pairs = torch.randint(len(_WORDS), (batch,), generator=generator)
    happens = torch.rand(batch, 2, generator=generator) < _PROBABILITIES[pairs]
    negative = torch.randint(2, (batch, 2), generator=generator)
    chosen = torch.where(happens, _OPERATIONS[pairs], number_of("identity"))
    for place in (0, 1):
        images = operate(images, chosen[:, place], _LEVELS[pairs, place], negative[:, place])
    return images


@dataclass(frozen=True, kw_only=True)
class AutoAugment(CropFlip, name="auto-augment"):
    """AutoAugment with the policy found for CIFAR-10, then crop-flip, as AT-BSL trains (Cubuk et al., 2019)."""

    @override
    def __call__(self, images: Images, *, generator: torch.Generator) -> Images:
        def change(images: Bytes) -> Bytes:
            return auto_augment(images, generator=generator)

        return super().__call__(on_bytes(images, change, whose=self.name), generator=generator)

"""CutMix: a box of another image, and labels by area."""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from typing_extensions import override

from srat.core.checked import checked
from srat.data.mixing.base import Blend, Images, PairMixing, uniform


class Box(NamedTuple):
    """A box of an image, in pixels; the end of each side is not in it."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """How many pixels it has."""
        return (self.bottom - self.top) * (self.right - self.left)


@checked
def cut_mix(images: Images, partners: Images, box: Box) -> Images:
    """Return each image with its partner's pixels in the box.

    Args:
        images: (n, channels, height, width).
        partners: of the same shape.
        box: within the image.

    Source: Yun et al., 2019, Eq. 1.
    """
    top, bottom, left, right = box
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
    return mixed


def draw_box(share: float, height: int, width: int, *, generator: torch.Generator) -> Box:
    """Return a box with √(1 − λ) of both sides, rounded down, around any pixel; what is outside the image is cut off.

    Args:
        share: λ, in [0, 1].
        height: of an image, in pixels.
        width: of an image, in pixels.
        generator: the source of the pixel, on the CPU.
    """
    (top, bottom), (left, right) = (_side(length, math.sqrt(1 - share), generator) for length in (height, width))
    return Box(top, bottom, left, right)


def _side(length: int, part: float, generator: torch.Generator) -> tuple[int, int]:
    """Return first and last of the pixels of a side, the last one not in it."""
    side, middle = int(part * length), int(uniform(generator) * length)
    first = middle - side // 2
    return max(first, 0), min(first + side, length)


@dataclass(frozen=True, kw_only=True)
class CutMix(PairMixing, name="cutmix"):
    """A box of each image is another's, and labels, budgets and weights are mixed by area (Yun et al., 2019).

    The box would cover 1 − λ of the image. As it may reach beyond the edge, λ becomes what it leaves: 1 − its area.
    All images of a batch have the same box (Rebuffi et al., 2021).
    """

    @override
    def blending(self, share: float, height: int, width: int, *, generator: torch.Generator) -> tuple[float, Blend]:
        box = draw_box(share, height, width, generator=generator)
        return 1 - box.area / (height * width), partial(cut_mix, box=box)

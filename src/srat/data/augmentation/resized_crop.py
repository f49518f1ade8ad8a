"""The usual augmentation of photographs."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from srat.core.errors import require_field
from srat.data.augmentation.base import Augmentation, Images
from srat.data.augmentation.crop_flip import random_flip
from srat.data.augmentation.erasing import Bounds, check_probability, draw_places, draw_sizes, random_erasing


def resized_crop(images: Images, boxes: Int[Tensor, "batch 4"]) -> Images:
    """Return a part of each image, stretched to the size of the whole.

    Bilinear, with pixels' centres at ½, 1½, …; beyond the part's own edge its outermost pixels go on.

    Args:
        images: (batch, channels, height, width); bytes stay bytes, rounded to the nearest.
        boxes: (batch, 4), top, left, height and width of the parts, in pixels, on the CPU.
    """
    boxes = boxes.to(images.device, non_blocking=True)
    tops, lefts, heights, widths = boxes.unbind(dim=1)
    stretched = _stretched(images if images.is_floating_point() else images.float(), tops, heights)
    stretched = _stretched(stretched.transpose(2, 3), lefts, widths).transpose(2, 3).contiguous()
    return stretched if images.is_floating_point() else (stretched + 0.5).to(images.dtype)


def _stretched(
    images: Float[Tensor, "batch channels height width"], starts: Int[Tensor, " batch"], lengths: Int[Tensor, " batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Return images whose rows ``start`` to ``start + length`` take the whole height."""
    _, channels, height, width = images.shape
    centres = torch.arange(height, device=images.device) + 0.5
    places = (centres * (lengths[:, None] / height) - 0.5).clamp(min=0)
    above = places.long()
    below = torch.minimum(above + 1, lengths[:, None] - 1)

    def rows(indices: Int[Tensor, "batch height"]) -> Float[Tensor, "batch channels height width"]:
        return images.gather(2, (starts[:, None] + indices)[:, None, :, None].expand(-1, channels, -1, width))

    share = (places - above).to(images.dtype)[:, None, :, None]
    upper = rows(above)
    return upper + share * (rows(below) - upper)


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop(Augmentation, name="random-resized-crop"):
    """A random part of the image, stretched to its size, then mirrored: for photographs (Szegedy et al., 2015)."""

    mirrors: ClassVar[bool] = True

    area: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest share of the image that is kept."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Smallest and largest width over height of the part."""
    erasing: float = 0.0
    """Probability that a rectangle of the image is then filled with noise (random erasing)."""

    def __post_init__(self) -> None:
        _require_rising(self.area, "augmentation.area", "two shares above 0, up to 1, the smaller first", 1)
        _require_rising(self.ratio, "augmentation.ratio", "two ratios above 0, up to 100, the smaller first", 100)
        check_probability(self.erasing)

    def __call__(self, images: Images, *, generator: torch.Generator) -> Images:
        """Return `random_erasing` of `random_flip` of `resized_crop` of boxes that are drawn.

        Where none of ten boxes fits into an image it stays whole.
        """
        batch, _, height, width = images.shape
        heights, widths = draw_sizes(batch, height, width, area=self.area, ratio=self.ratio, generator=generator)
        none = heights == 0
        heights, widths = heights + none * height, widths + none * width
        tops, lefts = draw_places(height - heights, generator), draw_places(width - widths, generator)
        cropped = resized_crop(images, torch.stack((tops, lefts, heights, widths), dim=1))
        flipped = random_flip(cropped, generator=generator)
        return random_erasing(flipped, probability=self.erasing, generator=generator)


def _require_rising(bounds: Bounds, field: str, expected: str, most: float) -> None:
    low, high = bounds
    require_field(0 < low <= high <= most, field, expected, bounds, 0, most)

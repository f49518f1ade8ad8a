"""Rectangles filled with noise."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from srat.core.errors import require_field
from srat.data.augmentation.base import Images

Bounds = tuple[float, float]
_ATTEMPTS = 10
"""Rectangles drawn for an image, of which the first that fits is taken."""


def draw_sizes(
    batch: int, height: int, width: int, *, area: Bounds, ratio: Bounds, generator: torch.Generator
) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
    """Return heights and widths of a rectangle in each image, on the CPU; 0 where none of ten fits.

    Args:
        batch: how many.
        height: of an image, in pixels.
        width: of an image, in pixels.
        area: smallest and largest share of the image, between which it is uniform.
        ratio: smallest and largest width over height, between which its logarithm is uniform.
        generator: the source, on the CPU.
    """

    def uniform(low: float, high: float) -> Float[Tensor, "attempts batch"]:
        return low + (high - low) * torch.rand(_ATTEMPTS, batch, dtype=torch.float64, generator=generator)

    pixels = uniform(*area) * height * width
    ratios = uniform(math.log(ratio[0]), math.log(ratio[1])).exp()
    heights, widths = (pixels / ratios).sqrt().round().long(), (pixels * ratios).sqrt().round().long()
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    first = fits.int().argmax(dim=0, keepdim=True)
    any_fits = fits.any(dim=0)
    return heights.gather(0, first)[0] * any_fits, widths.gather(0, first)[0] * any_fits


def draw_places(free: Int[Tensor, " batch"], generator: torch.Generator) -> Int[Tensor, " batch"]:
    """Return for each a whole number from 0 to ``free``, all alike."""
    drawn = torch.rand(len(free), dtype=torch.float64, generator=generator)
    return (drawn * (free + 1)).long()


def check_probability(erasing: float) -> None:
    """Raise ``UserError`` unless ``augmentation.erasing`` is a probability."""
    require_field(0 <= erasing <= 1, "augmentation.erasing", "a probability from 0 to 1", erasing, 0, 1)


def random_erasing(
    images: Images,
    *,
    probability: float,
    generator: torch.Generator,
    area: Bounds = (0.02, 0.33),
    ratio: Bounds = (0.3, 3.3),
) -> Images:
    """Return each image, with the given probability, with a rectangle of uniform noise in [0, 1].

    Args:
        images: (batch, channels, height, width).
        probability: of an image to lose a rectangle; at 0 nothing is drawn.
        generator: the source.
        area: smallest and largest share of the image.
        ratio: smallest and largest width over height.

    Source: Zhong et al., 2020.
    """
    if probability == 0:
        return images
    batch, _, height, width = images.shape
    chosen = torch.rand(batch, generator=generator) < probability
    heights, widths = draw_sizes(batch, height, width, area=area, ratio=ratio, generator=generator)
    heights = heights * chosen
    tops, lefts = draw_places(height - heights, generator), draw_places(width - widths, generator)
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= tops[:, None]) & (rows < (tops + heights)[:, None])
    in_columns = (columns >= lefts[:, None]) & (columns < (lefts + widths)[:, None])
    inside = (in_rows[:, :, None] & in_columns[:, None, :])[:, None]
    noise = torch.randint(256, images.shape, dtype=torch.uint8, generator=generator)
    noise, inside = (tensor.to(images.device, non_blocking=True) for tensor in (noise, inside))
    return torch.where(inside, noise if images.dtype == torch.uint8 else noise.to(images.dtype) / 255, images)

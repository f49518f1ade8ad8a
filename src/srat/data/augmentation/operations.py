"""The operations that RandAugment and AutoAugment choose among, on batches of bytes, equal to Pillow's to the bit.

Each takes bytes (batch, channels, height, width) and a magnitude for each image, which lies on the CPU.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Num, UInt8
from torch import Tensor

from srat.core.errors import require
from srat.data.augmentation.base import Images

Bytes = UInt8[Tensor, "batch channels height width"]
Magnitudes = Float[Tensor, " batch"]
_LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in grey, in parts of 2^16 (ITU-R 601)."""
_SHIFT = 150 / 331
"""Largest shift, as a share of the image: the 150 of 331 pixels of the paper."""


def identity(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return the images."""
    del magnitudes
    return images


def shear_x(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return images whose rows are shifted by m times their distance from the top edge."""
    return _warp(images, _matrices(magnitudes, b=magnitudes))


def shear_y(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return images whose columns are shifted by m times their distance from the left edge."""
    return _warp(images, _matrices(magnitudes, d=magnitudes))


def translate_x(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return images shifted to the right by the share m of their width, cut to whole pixels."""
    return _warp(images, _matrices(magnitudes, c=-_whole(magnitudes * images.shape[3])))


def translate_y(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return images shifted down by the share m of their height, cut to whole pixels."""
    return _warp(images, _matrices(magnitudes, f=-_whole(magnitudes * images.shape[2])))


def rotate(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return images turned by m degrees about their centre, counterclockwise."""
    x, y = images.shape[3] / 2, images.shape[2] / 2
    cos, sin = torch.cos(-magnitudes * math.pi / 180), torch.sin(-magnitudes * math.pi / 180)
    return _warp(
        images,
        _matrices(magnitudes, a=cos, b=sin, c=x - cos * x - sin * y, d=-sin, e=cos, f=y + sin * x - cos * y),
    )


def brightness(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return (1 + m) · image, the mixture with black."""
    return _blend(torch.zeros_like(images), images, magnitudes)


def color(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return grey + (1 + m)(image − grey); an image that is grey stays as it is."""
    return _blend(_grey(images), images, magnitudes)


def contrast(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return g + (1 + m)(image − g), where g is the image's mean grey, rounded."""
    pixels = images.shape[2] * images.shape[3]
    sums = _grey(images).flatten(1).sum(dim=1, dtype=torch.int64)
    return _blend(((2 * sums + pixels) // (2 * pixels))[:, None, None, None], images, magnitudes)


def sharpness(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return smooth + (1 + m)(image − smooth).

    Smooth is the mean over 3 × 3 pixels with 5 for the middle one and 1 for each other, rounded; the outermost pixels
    are as they are.
    """
    smooth = images.clone()
    if min(images.shape[2:]) > 2:
        wide = images.int()
        windows = wide.unfold(2, 3, 1).unfold(3, 3, 1).sum(dim=(4, 5), dtype=torch.int32)
        smooth[:, :, 1:-1, 1:-1] = ((2 * (windows + 4 * wide[:, :, 1:-1, 1:-1]) + 13) // 26).to(torch.uint8)
    return _blend(smooth, images, magnitudes)


def posterize(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return images of which the m highest bits of each value are kept."""
    masks = 256 - 2 ** (8 - magnitudes.long())
    return images & _beside(images, masks.to(torch.uint8))


def solarize(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return images whose values of m and above are inverted."""
    return torch.where(images < _beside(images, magnitudes.ceil().short()), images, 255 - images)


def invert(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return 255 − image."""
    del magnitudes
    return 255 - images


def auto_contrast(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return images each of whose channels is stretched to reach from 0 to 255; one of one value stays."""
    del magnitudes
    low, high = (bound.double()[..., None] for bound in images.flatten(2).aminmax(dim=2))
    scale = torch.full_like(low, 255) / (high - low)  # 255 / x would be 255 · (1 / x), which rounds twice
    levels = torch.arange(256, dtype=torch.float64, device=images.device)
    table = (levels * scale - low * scale).clamp(0, 255)
    return _looked_up(images, torch.where(high > low, table, levels).to(torch.uint8))


def equalize(images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return images each of whose channels has its values spread evenly; one of one value stays."""
    del magnitudes
    flat = images.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    last = counts.gather(2, flat.amax(dim=2, keepdim=True))
    step = (counts.sum(dim=2, keepdim=True) - last) // 255
    below = counts.cumsum(dim=2) - counts
    table = ((step // 2 + below) // step.clamp(min=1)).clamp(max=255)
    levels = torch.arange(256, device=images.device)
    return _looked_up(images, torch.where(step > 0, table, levels).to(torch.uint8))


def _whole(shifts: Magnitudes) -> Magnitudes:
    """Return shifts cut to whole pixels; 5 may come as 4.999…."""
    return shifts.round(decimals=6).trunc()


def _matrices(magnitudes: Magnitudes, **entries: Tensor) -> Float[Tensor, "batch 6"]:
    """Return (a, b, c, d, e, f) of each image: the pixel at (x, y) is taken from (a x + b y + c, d x + e y + f)."""
    plain = {"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0, "e": 1.0, "f": 0.0}
    columns = [entries.get(name, torch.full_like(magnitudes, value)) for name, value in plain.items()]
    return torch.stack(columns, dim=1)


def _warp(images: Bytes, matrices: Float[Tensor, "batch 6"]) -> Bytes:
    """Return images made of the nearest pixels, black where there are none; in fixed point, as Pillow has it."""
    batch, channels, height, width = images.shape
    a, b, c, d, e, f = matrices.unbind(dim=1)
    fixed = torch.stack((a, b, c + a / 2 + b / 2, d, e, f + d / 2 + e / 2), dim=1)
    parts = torch.floor(fixed * 65536 + 0.5).long().to(images.device, non_blocking=True)[:, :, None, None]
    x, y = torch.arange(width, device=images.device), torch.arange(height, device=images.device)[:, None]
    columns = (parts[:, 0] * x + parts[:, 1] * y + parts[:, 2]) >> 16
    rows = (parts[:, 3] * x + parts[:, 4] * y + parts[:, 5]) >> 16
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    places = (rows * width + columns).clamp(0, height * width - 1).view(batch, 1, -1).expand(-1, channels, -1)
    found = images.flatten(2).gather(2, places).view_as(images)
    return found * inside[:, None]


def _grey(images: Bytes) -> UInt8[Tensor, "batch 1 height width"]:
    """Return the grey of each pixel, as ITU-R 601 weighs the colours."""
    if images.shape[1] == 1:
        return images
    red, green, blue = (images[:, channel : channel + 1].int() * weight for channel, weight in enumerate(_LUMA))
    return ((red + green + blue + 0x8000) >> 16).to(torch.uint8)


def _blend(base: Num[Tensor, "batch _ _ _"], images: Bytes, magnitudes: Magnitudes) -> Bytes:
    """Return base + (1 + m)(image − base), cut to whole numbers in [0, 255]."""
    factors = _beside(images, (1 + magnitudes).float())
    start = base.float()
    return (start + factors * (images.float() - start)).clamp(0, 255).to(torch.uint8)


def _looked_up(images: Bytes, tables: UInt8[Tensor, "batch channels 256"]) -> Bytes:
    """Return images with each value replaced by what its channel's table has for it."""
    return tables.gather(2, images.flatten(2).long()).view_as(images)


def _beside(images: Bytes, values: Num[Tensor, " batch"]) -> Num[Tensor, "batch 1 1 1"]:
    """Return a number for each image, where the images lie."""
    return values.to(images.device, non_blocking=True)[:, None, None, None]


class Operation(NamedTuple):
    """An operation, and how its strength follows from a level between 0, weakest, and 1, strongest."""

    change: Callable[[Bytes, Magnitudes], Bytes]
    magnitude: Callable[[Float[Tensor, " batch"]], Magnitudes] = torch.zeros_like
    signed: bool = False
    """Whether the magnitude is negative as often as positive."""


OPERATIONS: Mapping[str, Operation] = {
    "identity": Operation(identity),
    "shear-x": Operation(shear_x, lambda level: 0.3 * level, True),
    "shear-y": Operation(shear_y, lambda level: 0.3 * level, True),
    "translate-x": Operation(translate_x, lambda level: _SHIFT * level, True),
    "translate-y": Operation(translate_y, lambda level: _SHIFT * level, True),
    "rotate": Operation(rotate, lambda level: 30 * level, True),
    "brightness": Operation(brightness, lambda level: 0.9 * level, True),
    "color": Operation(color, lambda level: 0.9 * level, True),
    "contrast": Operation(contrast, lambda level: 0.9 * level, True),
    "sharpness": Operation(sharpness, lambda level: 0.9 * level, True),
    "posterize": Operation(posterize, lambda level: 8 - (4 * level).round()),
    "solarize": Operation(solarize, lambda level: (255 - 255 * level).round(decimals=6)),
    "auto-contrast": Operation(auto_contrast),
    "equalize": Operation(equalize),
    "invert": Operation(invert),
}
"""By name, with the strengths of torchvision, which are those of the two papers' code."""
_NAMES = tuple(OPERATIONS)


def number_of(name: str) -> int:
    """Return the place of an operation among `OPERATIONS`."""
    return _NAMES.index(name)


def operate(
    images: Bytes,
    chosen: Int[Tensor, " batch"],
    levels: Float[Tensor, " batch"],
    negative: Num[Tensor, " batch"],
) -> Bytes:
    """Return each image after its operation; those of the same operation are changed together.

    Args:
        images: (batch, channels, height, width).
        chosen: `number_of` the operation of each image, on the CPU, as are the others.
        levels: in [0, 1], float64.
        negative: whether the magnitude is to be below 0, if the operation has a sign.
    """
    changed = images.clone()
    for number in sorted(set(chosen.tolist())):
        operation = OPERATIONS[_NAMES[number]]
        which = (chosen == number).nonzero().flatten()
        magnitudes = operation.magnitude(levels[which])
        if operation.signed:
            magnitudes = torch.where(negative[which].bool(), -magnitudes, magnitudes)
        there = which.to(images.device, non_blocking=True)
        changed[there] = operation.change(images[there], magnitudes)
    return changed


def on_bytes(images: Images, change: Callable[[Bytes], Bytes], *, whose: str) -> Images:
    """Return images changed as bytes; floating point is rounded to 256 levels for it.

    Args:
        images: (batch, channels, height, width).
        change: bytes → bytes.
        whose: the augmentation, for the message.

    Raises:
        UserError: if they are neither grey nor of three colours.
    """
    channels = images.shape[1]
    require(channels in (1, 3), f"`augmentation` {whose}: expected images of 1 or 3 channels, got {channels}")
    if images.dtype == torch.uint8:
        return change(images)
    return change((images * 255).round().to(torch.uint8)).to(images.dtype) / 255

"""What images are: bytes, or floating point in [0, 1]; and what others look like."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from srat.core.checked import checked
from srat.core.errors import UserError, require
from srat.core.files import content_digest
from srat.core.words import number

_ROUNDING = 1e-5
_AT_A_TIME = 4_096
"""Images of which the levels are in memory at a time."""
_OVERSHOOT = 0.1
"""How far resizing with sharp filters and the like go beyond black and white, at the most."""
DARK = 0.5
"""Share of white; images of which no value is above it are said to be dark."""
_WHOLE = 1e15
"""Below it a whole number is shown with all its digits."""
_FULL = {255.0: "images of bytes", 65535.0: "images of 16 bits"}
"""The largest value of what was never divided by it."""


@checked
def check_images(images: Tensor) -> None:
    """Refuse images that are neither uint8 nor floating point numbers in [0, 1].

    Args:
        images: (n, channels, height, width).

    Raises:
        UserError: on another dtype, NaN or infinity, or values outside [0, 1]. Normalisation is the model's
            first layer, so an image that was normalised before is refused here.
    """
    if images.dtype == torch.uint8:
        return
    require(images.is_floating_point(), f"images: expected uint8 or floating point, got {_named(images.dtype)}")
    low, high = (float(x) for x in torch.aminmax(images)) if images.numel() else (0.0, 0.0)
    check_finite(low, high, "images")
    if low < 0 or high > 1:
        got = f"images: expected values in [0, 1], got {number(low, 0, 1)} to {number(high, 0, 1)}"
        raise UserError(f"{got}: {_what_it_looks_like(images, low, high)}")


def check_attackable(images: Tensor) -> None:
    """Refuse what is no batch of floating point images in [0, 1].

    Args:
        images: (batch, channels, height, width).

    Raises:
        UserError: as `check_images`, and on bytes, which cannot move by fractions of a step.
    """
    check_axes(images)
    require(
        images.dtype != torch.uint8,
        "images: expected floating point in [0, 1], got uint8; srat.data.to_unit(images) makes them so",
    )
    check_images(images)


def check_axes(images: Tensor) -> None:
    """Refuse images whose axes are recognisably not (n, channels, height, width).

    Args:
        images: to have four axes.

    Raises:
        UserError: if they do not, or if the channels seem to come last.
    """
    shape = tuple(images.shape)
    expected = f"images: expected 4 axes (n, channels, height, width), got shape {shape}"
    advice = "; one channel is added by images[:, None], one image's batch by images[None]" * (len(shape) == 3)
    require(len(shape) == 4, expected + advice)
    last = shape[3] in (1, 3) and shape[1] > 4 and shape[2] > 4
    require(not last, f"{expected}, with the channels last; permute(0, 3, 1, 2), or NumPy's transpose, puts them first")


@checked
def to_unit(images: Tensor) -> Float[Tensor, "batch channels height width"]:
    """Return images as float32 in [0, 1]: x / 255 for uint8, unchanged values otherwise.

    Args:
        images: (batch, channels, height, width), uint8 or floating point in [0, 1].

    Raises:
        UserError: if they are of another type, or other axes.
    """
    bytes_ = images.dtype == torch.uint8
    require(images.ndim == 4, f"images: expected 4 axes (n, channels, height, width), got shape {tuple(images.shape)}")
    known = bytes_ or images.is_floating_point()
    require(known, f"images: expected uint8 or floating point, got {_named(images.dtype)}")
    return images.float() / 255 if bytes_ else images.float()


def pixel_digests(images: Tensor) -> Iterator[str]:
    """Yield what names the pixels of each image: one digest for images of bytes x and for the same ones as x / 255.

    Args:
        images: (n, channels, height, width), uint8 or floating point in [0, 1].
    """
    for some in torch.split(images, _AT_A_TIME):
        levels = some if some.dtype == torch.uint8 else (some.float() * 255).round().to(torch.uint8)
        for image in levels.cpu().contiguous().numpy():
            yield content_digest(image.data)


def check_finite(low: float, high: float, what: str) -> None:
    """Raise ``UserError`` if the smallest or the largest of some values is no finite number."""
    odd = next((value for value in (low, high) if not math.isfinite(value)), 0.0)
    got = "NaN" if math.isnan(odd) else "infinity"
    require(odd == 0, f"{what}: expected numbers in [0, 1], got {got}")


def is_dark(high: float, white: float, *, most: float = DARK) -> bool:
    """Return whether images use few of the values up to white; black ones are not meant.

    Args:
        high: the largest value.
        white: that of white.
        most: the largest share of white that is dark.
    """
    return 0 < high <= most * white


def dark_note(high: float, white: float, *, most: float = DARK, way: str = "") -> str:
    """Return what is to be said of images without bright values; nothing of others, or where all are black.

    Args:
        high: the largest value.
        white: that of white.
        most: the largest share of white that is dark.
        way: what makes them brighter; by default a division of their array.
    """
    if not is_dark(high, white, most=most):
        return ""
    division = "images * 255" if high == 1 else f"images / {divisor(high)}"
    said = f"no value is above {number(high, 0, white)} of {white:g}, so the images are dark"
    return f"{said}: {way or f'{division} makes the largest white'}"


def divisor(high: float) -> str:
    """Return a number by which images can be divided so that none is above 1: a whole one, or one of six digits.

    Args:
        high: their largest value, above 0.
    """
    text = f"{high:.0f}" if high < _WHOLE and high == int(high) else f"{high:.6g}"
    if float(text) >= high or torch.tensor(float(text)).item() == high:  # of float32, both are one number
        return text
    last = 10.0 ** (math.floor(math.log10(high)) - 5)
    return f"{math.ceil(high / last) * last:.6g}"


def _what_it_looks_like(images: Tensor, low: float, high: float) -> str:
    slack = max(_ROUNDING, 8 * torch.finfo(images.dtype).eps)
    if low >= -slack and high <= 1 + slack:
        return "by rounding alone; images.clamp(0, 1) cuts it off"
    if low > -_OVERSHOOT and 1 < high < 1 + _OVERSHOOT:
        return "slightly outside, as resizing leaves them; images.clamp(0, 1) clips them"
    if low < -slack:
        looks = f"they look normalised already (mean {float(images.double().mean()):.2g})"
        return f"{looks}; give them as they were, the model normalises by itself"
    full = next((full for full in _FULL if 2 < high <= full), None)
    return f"{_FULL[full]}? images / {full:g} puts them there" if full else "the model normalises by itself"


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

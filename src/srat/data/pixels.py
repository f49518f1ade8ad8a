"""What images are: bytes, or floating point in [0, 1]; and what others look like."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from srat.checked import checked
from srat.errors import require

_ROUNDING = 1e-5
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
    require(low == low and high == high, "images: expected numbers in [0, 1], got NaN")
    infinite = math.isinf(low) or math.isinf(high)
    require(not infinite, f"images: expected numbers in [0, 1], got {low:g} to {high:g}")
    if low < 0 or high > 1:
        got = f"images: expected values in [0, 1], got {_shown(low)} to {_shown(high)}"
        require(False, f"{got}: {_what_it_looks_like(images, low, high)}")


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
    """Refuse images of other axes than (n, channels, height, width), as far as that can be told.

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
        UserError: if they are of another type.
    """
    bytes_ = images.dtype == torch.uint8
    known = bytes_ or images.is_floating_point()
    require(known, f"images: expected uint8 or floating point, got {_named(images.dtype)}")
    return images.float() / 255 if bytes_ else images.float()


def _what_it_looks_like(images: Tensor, low: float, high: float) -> str:
    slack = max(_ROUNDING, 8 * torch.finfo(images.dtype).eps)
    if low >= -slack and high <= 1 + slack:
        return "by rounding alone: images.clamp(0, 1) corrects it"
    if low < -slack:
        looks = f"they look normalised already (mean {float(images.double().mean()):.2g})"
        return f"{looks}; give them as they were, the model normalises by itself"
    full = next((full for full in _FULL if 2 < high <= full), None)
    return f"{_FULL[full]}? images / {full:g} scales them" if full else "the model normalises by itself"


def _shown(value: float) -> str:
    """Return a number in four digits, or in all where those would round it into [0, 1]."""
    short = f"{value:.4g}"
    return short if 0 <= value <= 1 or not 0 <= float(short) <= 1 else repr(value)


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

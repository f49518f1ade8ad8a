"""Images and labels as arrays have them: what is meant is understood, and what could mean several things is refused."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srat.core.errors import require
from srat.core.values import as_tensor
from srat.core.words import number
from srat.data.labels import as_labels
from srat.data.pixels import check_finite, dark_note, divisor

_CHANNELS = (1, 3)
_LEVELS = 255
_WHITES = (_LEVELS, 1_023, 4_095, 16_383, 65_535)
"""The largest levels of 8, 10, 12, 14 and 16 bits."""
_NEAR = 0.1
"""Values so far beyond [0, 1] are what resizing makes."""


def read_images(array: NDArray[Any], what: str) -> Tensor:
    """Return images as n × C × H × W, uint8 or float32 in [0, 1].

    Args:
        array: n × H × W, n × H × W × C or n × C × H × W, of 1 or 3 channels: levels 0 to 255 of any type of integers,
            booleans, or floating point in [0, 1].
        what: names it in messages.

    Raises:
        UserError: if it is something else; the line says how to make it into such.
    """
    wanted = "expected n × H × W, n × H × W × C or n × C × H × W"
    require(array.ndim in (3, 4), f"{what}: {wanted}, got shape {array.shape}")
    if array.ndim == 3:
        array = array[..., None]
    first = channels_first(array)
    channels = f"{what}: expected 1 or 3 channels on the last axis, or on the second, got shape {array.shape}"
    require(first or array.shape[3] in _CHANNELS, channels)
    plain = _unit(array, what) if array.dtype.kind == "f" else _levels(array, what)
    return torch.from_numpy(np.ascontiguousarray(plain if first else plain.transpose(0, 3, 1, 2)))


def channels_first(array: NDArray[Any]) -> bool:
    """Return whether an array is n × C × H × W: only if its last axis cannot be that of the channels."""
    return array.ndim == 4 and array.shape[1] in _CHANNELS and array.shape[3] not in _CHANNELS


def image_notes(array: NDArray[Any]) -> Iterator[str]:
    """Yield what is to be said of how images are understood."""
    if channels_first(array):
        yield f"shape {array.shape} is read as n × C × H × W"
    if array.dtype.kind == "b":
        yield "booleans are read as black and white"
    elif array.dtype.kind in "iu" and array.dtype != np.uint8 and array.size:
        yield f"{array.dtype} from {array.min()} to {array.max()} is read as levels of 0 to {_LEVELS}"
    if array.dtype.kind in "iuf" and array.size:
        dark = dark_note(float(array.max()), 1 if array.dtype.kind == "f" else _LEVELS)
        yield from [dark] * bool(dark)


def read_labels(array: NDArray[Any], what: str, *, images: int) -> Tensor:
    """Return labels as n integers, as `as_labels` understands them.

    Args:
        array: n, or n × 1: integers, booleans, or floating point that is whole.
        what: names it in messages.
        images: how many images they are of.

    Raises:
        UserError: if it is something else; the line says how to make it into such.
    """
    named = "; number the classes from 0, and put their names into class_names in that order"
    got = f"{what}: expected n integers, got {array.dtype} of shape {array.shape}"
    require(array.dtype.kind in "biufc", f"{got}{named * (array.dtype.kind in 'US')}")
    if array.dtype.itemsize > 8:  # torch has no longer floats
        array = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    return as_labels(as_tensor(array), images=images, what=what).long()


def _levels(array: NDArray[Any], what: str) -> NDArray[np.uint8]:
    """Return levels as uint8, or raise ``UserError``."""
    require(array.dtype.kind in "biu", f"{what}: expected uint8 or floating point in [0, 1], got {array.dtype}")
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(_LEVELS)
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    said = f"{what}: expected levels from 0 to {_LEVELS}, got {array.dtype} from {low} to {high}"
    require(low >= 0 and high <= _LEVELS, f"{said}: {_advice_on_range(low, high)}")
    return array.astype(np.uint8, copy=False)


def _unit(array: NDArray[Any], what: str) -> NDArray[np.float32]:
    """Return floating point in [0, 1] as float32, or raise ``UserError``."""
    with np.errstate(all="ignore"):  # what is beyond float32 is beyond 1
        plain: NDArray[np.float32] = array.astype(np.float32, copy=False)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    check_finite(low, high, what)
    said = f"{what}: expected values in [0, 1], got {number(low, 0, 1)} to {number(high, 0, 1)}"
    require(low >= 0 and high <= 1, f"{said}: {_advice_on_range(low, high)}")
    return plain


def _advice_on_range(low: float, high: float) -> str:
    """Return how images of other values are made into such in [0, 1]."""
    if low > -_NEAR and high < 1 + _NEAR:
        return "clip them, as in images.clip(0, 1)"
    if low < 0:
        return "undo their normalisation (the model normalises by itself), or shift and scale them into [0, 1]"
    white = next((white for white in _WHITES if high <= white), high)
    return f"divide them by the level that is white, as in images / {divisor(white)}"

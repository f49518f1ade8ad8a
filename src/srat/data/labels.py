"""Labels as people have them: what is meant is understood, and what could mean several things is refused."""

import torch
from jaxtyping import Integer
from torch import Tensor

from srat.core.errors import require

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_LARGEST = 1 << 53
"""The whole numbers up to which floating point has them all."""


def as_labels(given: Tensor, *, images: int, what: str = "labels") -> Integer[Tensor, " n"]:
    """Return labels as integers, (n,); those that are integers already keep their type.

    Args:
        given: (n,) or a column: integers, booleans, or floating point that is whole.
        images: how many images they are of.
        what: names them in messages.

    Raises:
        UserError: if they are something else, or not one for each image; the line says how to make them into such.
    """
    got = f"{what}: expected n integers, got {str(given.dtype).removeprefix('torch.')} of shape {tuple(given.shape)}"
    require(not given.is_complex(), got)
    require(given.ndim > 0 and given.numel() == len(given), f"{got}{_advice(given)}")
    require(len(given) == images, f"{what}: expected one for each of {images} images, got {len(given)}")
    flat = given.reshape(-1)
    if flat.dtype in _INTEGERS:
        return flat
    exact = flat.double()
    whole = bool(((exact.abs() < _LARGEST) & (exact == exact.trunc())).all())  # no NaN is
    require(whole, f"{got} that are not all whole numbers, or too large")
    return exact.long()


def _advice(given: Tensor) -> str:
    if given.ndim != 2 or not bool(((given == 0) | (given == 1)).all()):
        return ""
    if bool((given.double().sum(dim=1) == 1).all()):
        return ": one-hot labels; labels.argmax(axis=1) makes them into such"
    return ": several labels for an image, of which a classifier has one"

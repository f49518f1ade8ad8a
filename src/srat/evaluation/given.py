"""Images and labels as they are given: tensors, arrays or lists."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Integer
from numpy.typing import NDArray
from torch import Tensor

from srat.core.errors import UserError, require
from srat.core.kinds import said
from srat.core.values import UnfitError, as_tensor
from srat.data.labels import as_labels
from srat.data.pixels import check_axes

Arrays = Tensor | NDArray[Any] | Sequence[Any]
"""A tensor, an array, or lists of numbers."""


def given_images(images: Arrays) -> Tensor:
    """Return images as a tensor, (n, channels, height, width).

    Raises:
        UserError: if there are none, or they have other axes.
    """
    tensor = _tensor(images, "images")
    require(tensor.ndim > 0 and len(tensor) > 0, "images: expected at least one")
    check_axes(tensor)
    return tensor


def given_labels(labels: Arrays, *, images: int) -> Integer[Tensor, " n"]:
    """Return a label for each of so many images, (n,), as `as_labels` understands them.

    Raises:
        UserError: if they are no integers, or not one for each image.
    """
    return as_labels(_tensor(labels, "labels"), images=images)


def _tensor(values: Arrays, name: str) -> Tensor:
    try:
        tensor: Tensor = as_tensor(values)
    except UnfitError:
        raise UserError(f"{name}: expected a tensor, an array or lists of numbers, got {said(values)}") from None
    require(not tensor.is_meta, f"{name}: expected values, got a tensor without contents, which lies on meta")
    return tensor

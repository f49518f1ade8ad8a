"""What classifiers take, refused in a line where a call enters."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from srat.core.errors import UserError
from srat.core.kinds import said
from srat.core.words import counted
from srat.runtime.machine import is_out_of_memory

Forward = TypeVar("Forward", bound=Callable[..., Any])


def taking_images(forward: Forward) -> Forward:
    """Decorate a ``forward(self, images)``: what is no batch of images is refused in a line.

    Types and shapes are compared, never values: nothing waits for a GPU.
    """

    @wraps(forward)
    def door(self: nn.Module, images: Any) -> Any:
        if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
            raise UserError(_refusal(images))
        return forward(self, images)

    return door  # type: ignore[return-value]


def _refusal(images: object) -> str:
    wanted = "images: expected a tensor of floats in [0, 1], (batch, channels, height, width)"
    if isinstance(images, list | tuple):
        return f"{wanted}, got a {type(images).__name__} of {len(images)}: torch.stack makes a tensor of tensors"
    hint = ""
    if not isinstance(images, Tensor):
        hint = "; torch.as_tensor makes a tensor of an array" if hasattr(images, "__array__") else ""
    elif images.dtype == torch.uint8:
        hint = "; srat.data.to_unit makes floats of bytes"
    elif images.ndim == 3:
        hint = "; a batch of one image is images[None]"
    return f"{wanted}, got {said(images)}{hint}"


@contextmanager
def telling_what_fails(model: nn.Module, images: Tensor, *, made_for: Sequence[int] = ()) -> Iterator[None]:
    """Turn what a model raises at images into a ``UserError``; running out of memory is no matter of the model alone.

    Args:
        model: the user's.
        images: what it is given.
        made_for: the shape of an image that it takes, if that is known.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or is_out_of_memory(error):
            raise
        shape, known = (" × ".join(map(str, each)) for each in (images.shape[1:], made_for))
        why = f"({type(error).__name__}: {str(error).partition(chr(10))[0]})"
        told = f"{type(model).__name__} does not take images of {shape}{f', but of {known}' * bool(known)} {why}"
        raise UserError(f"model: {told}") from error


def require_device(images: Tensor, device: torch.device) -> None:
    """Raise ``UserError`` unless images lie where a model does."""
    if images.device != device:
        raise UserError(f"images: expected them on {device}, as the model is, got them on {images.device}")


def require_channels(images: Tensor, channels: int | None) -> None:
    """Raise ``UserError`` unless images have as many channels as a model takes; None takes any number."""
    if channels is not None and images.shape[1] != channels:
        hint = "; images.movedim(-1, 1) brings the last axis there" if images.shape[-1] == channels else ""
        raise UserError(f"images: expected {counted(channels, 'channel')}, got {images.shape[1]}{hint}")

"""A module that is looked at on a few images: which type it takes, which layer is its head, where its logits are."""

from contextlib import suppress
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from srat.core.errors import UserError, require
from srat.models.classifier import dtype_of, dtypes_of
from srat.models.lending import lent, unmoved
from srat.models.likeness import doubt_in_training
from srat.models.outputs import Pick, Place
from srat.models.wrapping.lazy import make_lazy_parts
from srat.models.wrapping.skeleton import require_same
from srat.models.wrapping.watching import find_head, find_place_in_training, place_by_graph
from srat.runtime.machine import is_out_of_memory

Images = Float[Tensor, "batch channels height width"]


class View(NamedTuple):
    """What was found out about a module."""

    head: str
    """The name of its head."""
    place: Place
    """Where the logits are in its output, in eval mode."""
    place_in_training: Place | UserError
    """The same in train mode; or why that is not known, to be told where it is trained."""
    logits: Tensor
    """Of the images, in eval mode."""
    doubt_in_training: str
    """What is to be said of its outputs in train mode; nothing if they look like logits."""


def look(skeleton: nn.Module, module: nn.Module, images: Images, *, named: str | None, pick: Pick) -> View:
    """Return what a copy of a module does with images, which has to be what the module does; nothing is changed.

    Args:
        skeleton: the copy.
        module: the module.
        images: a few, normalised.
        named: the head as the user says; None to look for it.
        pick: where the logits are, as the user says; None to find them.

    Raises:
        UserError: if the copy does something else, or no single layer is its head.
    """
    with torch.no_grad(), lent(skeleton):
        make_lazy_parts(skeleton, lambda: skeleton(images.to(dtype_of(skeleton))))
        with unmoved(skeleton):
            x = images.to(dtype_taken(skeleton, images))
            known = _known_place(skeleton, x) if pick is None else pick
            logits = require_same(skeleton, module, x, pick=known)
            head, place = find_head(skeleton, x, named=named, pick=known)
    _require_dtype(skeleton, head, x.dtype)
    place_in_training, doubt = _in_training(skeleton, x, head, logits.shape[1], pick, place)
    return View(head, place, place_in_training, logits, doubt)


def _known_place(skeleton: nn.Module, images: Images) -> Place | None:
    with suppress(AttributeError, IndexError, KeyError, RuntimeError):  # the comparison that follows tells of them
        return place_by_graph(skeleton, images)
    return None


def _in_training(
    skeleton: nn.Module, images: Images, head: str, classes: int, pick: Pick, place: Place
) -> tuple[Place | UserError, str]:
    """Return where the logits are in train mode, or why that is not known, and what is to be said of them."""
    # BatchNorm cannot take a single image in train mode.
    x = torch.cat((images, images)) if len(images) == 1 else images
    try:
        with lent(skeleton, "train_frozen_stats"), unmoved(skeleton):
            found, logits = find_place_in_training(skeleton, x, head=head, classes=classes, pick=pick, place=place)
    except UserError as error:
        return error, ""
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return UserError(f"this model fails in train mode ({type(error).__name__}: {error})"), ""
    # Only now is it known that no output has parts.
    told = f"output={pick!r}: there is none in what the model returns, a tensor"
    require(pick is None or (place, found) != ((), ()), told)
    return found, doubt_in_training(logits)


def dtype_taken(module: nn.Module, images: Images) -> torch.dtype:
    """Return in which type a module takes images: its weights'; of several, the widest in which it can be called."""
    *wider, last = dtypes_of(module)
    for dtype in wider:
        with suppress(RuntimeError):
            module(images.to(dtype))
            return dtype
    return last


def _require_dtype(module: nn.Module, head: str, taken: torch.dtype) -> None:
    """Raise ``UserError`` unless a module takes images in the type of its first weights, as each call gives them."""
    first = dtype_of(module, beside=head)
    names = [str(dtype).removeprefix("torch.") for dtype in (first, taken)]
    told = f"model: its first weights are {names[0]}, and it takes images in {names[1]} alone"
    require(first == taken, f"{told}: cast within its forward, or make its weights one type")

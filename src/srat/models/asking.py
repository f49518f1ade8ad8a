"""Asking a model, ours or any other, what it says of images."""

import copy
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from srat.core.checked import checked
from srat.core.errors import require
from srat.core.gradients import is_inference
from srat.models.classifier import Classifier, Output, dtype_of
from srat.models.inputs import telling_what_fails
from srat.models.lending import lent, unmoved
from srat.models.likeness import doubt_of
from srat.models.outputs import logits_of
from srat.models.wrapping.lazy import make_lazy_parts
from srat.models.wrapping.looking import dtype_taken
from srat.models.wrapping.wrapper import Wrapped
from srat.runtime.precision import with_gradient_in_range


def output_of(model: nn.Module, images: Float[Tensor, "batch channels height width"]) -> object:
    """Return what a model returns; a plain module gets a copy of its own type, in which it may write.

    Args:
        model: images in [0, 1] → any output.
        images: in [0, 1]; they stay as they are.
    """
    return model(images) if isinstance(model, Classifier) else model(images.to(dtype_of(model), copy=True))


@checked
def logits_at(model: nn.Module, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
    """Return a model's logits in fp32, whatever it takes, computes in and returns.

    Args:
        model: images in [0, 1] → logits, or an output that has them (see `logits_of`).
        images: (batch, channels, height, width), in [0, 1]; they stay as they are.

    Raises:
        UserError: if there are no logits in what it returns.
    """
    if images.requires_grad and dtype_of(model) is torch.float16:
        return with_gradient_in_range(partial(_asked, model), images)
    return _asked(model, images)


def _asked(model: nn.Module, images: Tensor) -> Tensor:
    return logits_of(output_of(model, images), batch=images.shape[0]).float()


def rows_at(model: nn.Module, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch columns"]:
    """Return each image's logits and, behind them, its embedding, in fp32: one tensor, to scale its gradient as one.

    Args:
        model: a classifier of images in [0, 1].
        images: (batch, channels, height, width), in [0, 1].
    """
    if images.requires_grad and dtype_of(model) is torch.float16:
        return with_gradient_in_range(partial(_rows, model), images)
    return _rows(model, images)


def _rows(model: nn.Module, images: Tensor) -> Tensor:
    output: Output = model(images)
    return torch.cat((output.logits.float(), output.embedding.float()), dim=1)


@checked
def first_logits(
    model: nn.Module, images: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch classes"]:
    """Return a model's logits, in the type that it returns, after getting it ready to be used.

    Args:
        model: images in [0, 1] → logits, or an output that has them.
        images: a few, in [0, 1], on its device.

    Raises:
        UserError: if it does not take them, or returns no logits.
    """
    empty = next((name for name, tensor in model.named_parameters() if tensor.is_meta), "")
    require(not empty, f"model: '{empty}' lies on meta and has no contents; load its weights first")
    own = model.backbone if isinstance(model, Wrapped) else model
    with telling_what_fails(own, images):
        get_ready(model, images)
        with torch.no_grad(), lent(model) as served:
            _require_whole(served, images)
            return logits_of(output_of(served, images), batch=len(images))


def doubts_about(model: nn.Module, logits: Tensor, *, training: bool = False) -> list[str]:
    """Return what is to be said of a model whose outputs do not look like logits; of a wrapped one each doubt once.

    Args:
        model: the model, after `first_logits`.
        logits: what that returned.
        training: whether the model is to be trained, so that its outputs in train mode matter.
    """
    if isinstance(model, Wrapped):
        return model.untold(logits, training=training)
    return [doubt for doubt in (doubt_of(logits),) if doubt]


def _require_whole(model: nn.Module, images: Tensor) -> None:
    """Raise ``UserError`` if a module of half-precision weights first takes wider images, which would be rounded."""
    first = dtype_of(model)
    if isinstance(model, Classifier) or first.itemsize > 2:
        return
    with unmoved(model):
        taken = dtype_taken(model, images)
    names = [str(dtype).removeprefix("torch.") for dtype in (first, taken)]
    told = f"model: its first weights are {names[0]}, and it takes images in {names[1]}, which would be rounded"
    require(taken.itemsize <= first.itemsize, f"{told}: make its weights one type, or srat.models.wrap(…, head=…) it")


def get_ready(model: nn.Module, images: Float[Tensor, "batch channels height width"]) -> None:
    """Make what a model makes at its first call: the parameters of lazy modules, a wrapped model's view of itself."""
    if isinstance(model, Wrapped):
        model.settle(images)
    make_lazy_parts(model, lambda: output_of(model, images))


def device_of(model: nn.Module, default: torch.device) -> torch.device:
    """Return where a model lies: its first parameter or buffer, or the default if it has none."""
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), default)


def computed_in(model: nn.Module, logits: Tensor) -> str:
    """Return the type that a model computes in, such as "float32": its weights', or its logits' if that is half."""
    half = logits.dtype in (torch.float16, torch.bfloat16)
    return str(logits.dtype if half else dtype_of(model)).removeprefix("torch.")


def trainable(model: nn.Module) -> nn.Module:
    """Return the model, or a copy that autograd can take if its weights were made in ``torch.inference_mode``."""
    made_so = any(is_inference(tensor) for tensor in (*model.parameters(), *model.buffers()))
    return copy.deepcopy(model) if made_so else model

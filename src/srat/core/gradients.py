"""Gradients, whatever mode of autograd the caller is in."""

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

taking_gradients = torch.inference_mode(False)
"""Decorates what takes gradients: within, ``torch.inference_mode`` and ``torch.no_grad`` of the caller do not hold."""


def is_made(tensor: Tensor) -> bool:
    """Return whether a tensor has contents; those of lazy modules have none before their first call."""
    return not is_lazy(tensor)


def is_inference(tensor: Tensor) -> bool:
    """Return whether a tensor was made in ``torch.inference_mode``, so that autograd refuses it."""
    return is_made(tensor) and tensor.is_inference()


def ordinary(tensor: Tensor) -> Tensor:
    """Return a tensor that autograd can take: itself, or a copy if it was made in ``torch.inference_mode``."""
    if torch.compiler.is_compiling():  # which cannot ask, and takes either
        return tensor
    return tensor.clone() if tensor.is_inference() and not torch.is_inference_mode_enabled() else tensor

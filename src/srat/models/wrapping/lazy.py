"""Lazy modules, whose parameters are made at their first call."""

from collections.abc import Callable

import torch
from torch import nn

from srat.core.errors import require
from srat.core.gradients import is_made
from srat.models.lending import lent


def make_lazy_parts(model: nn.Module, call: Callable[[], object]) -> None:
    """Make the parameters of a model's lazy modules, if it has any, by calling it once in eval mode.

    Args:
        model: the model.
        call: calls it.

    Raises:
        UserError: if it does not come by one of them.
    """
    if all(is_made(tensor) for tensor in (*model.parameters(), *model.buffers())):
        return
    with torch.no_grad(), lent(model):
        call()
    left = [name for name, parameter in model.named_parameters() if not is_made(parameter)]
    require(not left, f"model: '{''.join(left[:1])}' is lazy and has no shape, for forward never calls its layer")

"""What an optimiser keeps of each parameter, found by a step on tensors without contents."""

from collections.abc import Mapping

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from srat.optimization.optimizers import Optimizer

Slots = Mapping[int, Mapping[str, tuple[int, ...]]]
"""The shapes of a parameter's slots by their names, for each parameter by its number."""


def slots_of(optimizer: Optimizer, model: nn.Module) -> Slots | None:
    """Return what an optimiser keeps of each parameter after a step; None if it cannot be tried without contents.

    Args:
        optimizer: the configuration's.
        model: whose parameters it moves.
    """
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    parameters = [nn.Parameter(fake.from_tensor(p.detach()), requires_grad=p.requires_grad) for p in model.parameters()]
    try:
        with fake:
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
            made = optimizer.make(parameters)
            made.step()
            state = made.state_dict()["state"]
    except Exception:  # an installed optimiser may look at its numbers
        return None
    return {index: {name: _shape(value) for name, value in slots.items()} for index, slots in state.items()}


def _shape(value: object) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else ()

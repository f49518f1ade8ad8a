"""Stochastic gradient descent."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from typing_extensions import override

from srat.core.errors import require_field
from srat.optimization.optimizers.base import Optimizer, check_weight_decay


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer, name="sgd"):
    """Stochastic gradient descent with momentum, at the field's usual values; the paper does not give its optimiser."""

    learning_rate: float = 0.1
    """γ, which the schedule multiplies."""
    momentum: float = 0.9
    """Momentum."""
    weight_decay: float = 5e-4
    """Weight decay."""
    nesterov: bool = False
    """Nesterov's momentum."""

    def __post_init__(self) -> None:
        super().__post_init__()
        momentum = self.momentum
        require_field(0 <= momentum < 1, "optimizer.momentum", "0 ≤ momentum < 1", momentum, 0, 1)
        check_weight_decay(self.weight_decay)
        moving = not self.nesterov or momentum > 0
        require_field(moving, "optimizer.nesterov", "a momentum above 0 with it", momentum, 0)

    @override
    def make(self, parameters: Iterable[nn.Parameter], *, scaled: bool = False) -> torch.optim.Optimizer:
        """Return torch's fused SGD."""
        parameters = list(parameters)
        made = torch.optim.SGD(
            parameters,
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
            fused=True,
        )
        if scaled and self.momentum:
            # A first step that overflows is left out, but not the making of its momentum, of memory as it was found;
            # and the fused step takes no momentum of some parameters alone.
            for parameter in parameters:
                made.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return made

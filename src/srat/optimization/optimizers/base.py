"""What an optimiser is: settings that make one of torch's."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from srat.core.errors import require
from srat.core.members import Member
from srat.core.words import number


@dataclass(frozen=True, kw_only=True)
class Optimizer(Member, unnamed="sgd"):
    """How gradients move the weights."""

    learning_rate: float
    """γ, which the schedule multiplies."""

    def __post_init__(self) -> None:
        require(
            0 < self.learning_rate < 1e3,
            f"`optimizer.learning_rate`: expected a number above 0, got {number(self.learning_rate, 0, 1e3)}",
        )

    def make(self, parameters: Iterable[nn.Parameter], *, scaled: bool = False) -> torch.optim.Optimizer:
        """Return torch's optimiser of these parameters.

        Args:
            parameters: what it moves.
            scaled: whether steps whose gradient overflows are left out, as under fp16.
        """
        raise NotImplementedError


def check_weight_decay(weight_decay: float) -> None:
    """Raise ``UserError`` unless a weight decay is one."""
    require(
        0 <= weight_decay < 1e3,
        f"`optimizer.weight_decay`: expected 0 or more, got {number(weight_decay, 0, 1e3)}",
    )

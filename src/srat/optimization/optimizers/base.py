"""What an optimiser is: settings that make one of torch's."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from srat.core.errors import require_field
from srat.core.members import Member


@dataclass(frozen=True, kw_only=True)
class Optimizer(Member, unnamed="sgd"):
    """How gradients move the weights."""

    learning_rate: float
    """γ, which the schedule multiplies."""

    def __post_init__(self) -> None:
        rate = self.learning_rate
        require_field(0 < rate < 1e3, "optimizer.learning_rate", "a number above 0 and below 1000", rate, 0, 1e3)

    def make(self, parameters: Iterable[nn.Parameter], *, scaled: bool = False) -> torch.optim.Optimizer:
        """Return torch's optimiser of these parameters.

        Args:
            parameters: what it moves.
            scaled: whether some may begin later than others: under fp16 steps whose gradient overflows are left out,
                and a frozen backbone has no gradient at first.
        """
        raise NotImplementedError


def check_weight_decay(weight_decay: float) -> None:
    """Raise ``UserError`` unless a weight decay is one."""
    decay = weight_decay
    require_field(0 <= decay < 1e3, "optimizer.weight_decay", "0 or more and below 1000", decay, 0, 1e3)

"""Each example once."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from typing_extensions import override

from srat.data.sampling.base import Sampling


@dataclass(frozen=True, kw_only=True)
class Shuffled(Sampling, name="shuffled"):
    """Draw each example once an epoch, in random order."""

    @override
    def order(
        self, labels: Int[Tensor, " n"], *, epoch: int, epochs: int, generator: torch.Generator
    ) -> Int[Tensor, " n"]:
        del epoch, epochs
        return torch.randperm(len(labels), generator=generator)

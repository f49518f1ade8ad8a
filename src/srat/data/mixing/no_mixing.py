"""Each image by itself."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from typing_extensions import override

from srat.data.mixing.base import Mix, Mixing


@dataclass(frozen=True, kw_only=True)
class NoMixing(Mixing, name="none"):
    """No image is mixed with another."""

    @override
    def draw(
        self, batch: int, height: int, width: int, *, labels: Int[Tensor, " n"], generator: torch.Generator
    ) -> Mix | None:
        del batch, height, width, labels, generator
        return None

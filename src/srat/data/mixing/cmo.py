"""CMO: a box of a rare class's image on any other."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from typing_extensions import override

from srat.core.errors import require_field
from srat.data.mixing.cutmix import CutMix


@dataclass(frozen=True, kw_only=True)
class CMO(CutMix, name="cmo"):
    """CutMix whose boxes come from images of rarer classes, whatever lies around them (Park et al., 2022).

    The boxes' images are drawn beside the batch, with replacement, a class's share of them ∝ n_c^(1 − r). Labels,
    budgets and weights are mixed by area; losses that know the classes' counts know those of the batch's own images.
    """

    probability: float = 0.5
    """Probability that a batch is mixed at all."""
    power: float = 1.0
    """r, 0 or more: 0 draws boxes as the data has them, 1 each class alike, as the authors do, more the rare ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_field(0 <= self.power <= 10, "mixing.power", "0 to 10", self.power, 0, 10)

    @override
    def pairing(
        self, batch: int, labels: Int[Tensor, " n"], *, generator: torch.Generator
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " added"] | None]:
        weights = labels.bincount().double().clamp(min=1).pow(-self.power)[labels]
        return batch + torch.arange(batch), torch.multinomial(weights, batch, replacement=True, generator=generator)

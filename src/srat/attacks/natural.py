"""No attack: natural training, clean accuracy."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from srat.attacks.base import Attack, Images, LossAt, Scale


@dataclass(frozen=True, kw_only=True)
class Natural(Attack, name="natural", aliases=("clean",)):
    """Leave the images as they are."""

    @property
    @override
    def label(self) -> str:
        """ "clean", as results call what no attack touched."""
        return "clean"

    @override
    def perturb(
        self, loss_at: LossAt, images: Images, *, generator: torch.Generator, scale: Scale | None = None
    ) -> Images:
        del loss_at, generator, scale
        return images

"""MixUp: the mean of two images, and of their labels."""

from dataclasses import dataclass
from functools import partial

import torch
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require_field
from srat.data.mixing.base import Blend, Images, PairMixing


@checked
def mix_up(images: Images, partners: Images, share: float) -> Images:
    """Return λ · x + (1 − λ) · x' of each image and its partner.

    Args:
        images: x, (n, channels, height, width), in [0, 1].
        partners: x', of the same shape.
        share: λ, in [0, 1].

    Returns:
        Images of the same shape, in [0, 1].

    Raises:
        UserError: if λ is out of range.

    Source: Zhang et al., 2018, Eq. 1.
    """
    require_field(0 <= share <= 1, "share", "0 to 1", share, 0, 1)
    return torch.lerp(partners, images, share)


@dataclass(frozen=True, kw_only=True)
class MixUp(PairMixing, name="mixup"):
    """The mean of two images, and of their labels, budgets and weights (Zhang et al., 2018)."""

    @override
    def blending(self, share: float, height: int, width: int, *, generator: torch.Generator) -> tuple[float, Blend]:
        del height, width, generator
        return share, partial(mix_up, share=share)

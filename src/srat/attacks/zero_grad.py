"""A single sign step that leaves out the smallest gradients."""

import math
from dataclasses import dataclass

import torch
from typing_extensions import override

from srat.attacks.base import Images, Scale
from srat.attacks.projections import GEOMETRIES, Shape
from srat.attacks.single_step import SingleStep
from srat.core.checked import checked
from srat.core.errors import require_field


@checked
def without_smallest(gradient: Images, share: float) -> Images:
    """Return each image's gradient g with its ⌊q d⌋ smallest magnitudes of d set to 0.

    Args:
        gradient: g, (batch, channels, height, width).
        share: q, in [0, 1]; of magnitudes that tie with the largest of those, all are set to 0.

    Raises:
        UserError: if the share is out of range.

    Source: Golgooni et al., 2021, ZeroGrad.
    """
    check_share(share)
    return _without_smallest(gradient, share)


def check_share(share: float) -> None:
    """Raise ``UserError`` unless a share is one."""
    require_field(0 <= share <= 1, "share", "0 to 1", share, 0, 1)


def _without_smallest(gradient: Images, share: float) -> Images:
    magnitude = gradient.abs().flatten(1)
    count = math.floor(share * magnitude.shape[1])
    if count == 0:
        return gradient
    largest = magnitude.kthvalue(count, dim=1).values
    return torch.where(gradient.abs() > largest[:, None, None, None], gradient, 0)


@dataclass(frozen=True, kw_only=True)
class ZeroGrad(SingleStep, name="zero-grad"):
    """One sign step from a random start that leaves out the smallest gradients (Golgooni et al., 2021).

    Their signs are the least certain. The step crosses the ball, and ends on its surface or where it began.
    """

    step_size: float | None = None
    """α; 2 ε unless given."""
    share: float = 0.35
    """q, the part of each image's gradient that is set to 0 (0.35 on CIFAR-10, 0.45 on CIFAR-100, 0.7 on SVHN)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.share)

    @property
    @override
    def usual_step(self) -> float:
        return 2 * self.epsilon

    @override
    def noise(self, shape: Shape, *, generator: torch.Generator) -> Images | None:
        """Return noise uniform in the ball."""
        return GEOMETRIES["linf"].noise(shape, self.epsilon, generator=generator)

    @override
    def step(self, adversarial: Images, gradient: Images, images: Images, scale: Scale | None = None) -> Images:
        return super().step(adversarial, _without_smallest(gradient, self.share), images, scale)

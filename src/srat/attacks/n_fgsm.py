"""The noisy fast gradient sign method, for training alone."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from typing_extensions import override

from srat.attacks.base import Images, Scale, scaled
from srat.attacks.projections import GEOMETRIES, Shape, check_length, sign_step
from srat.attacks.single_step import SingleStep
from srat.core.errors import require_field


@dataclass(frozen=True, kw_only=True)
class NFGSM(SingleStep, name="n-fgsm"):
    """One sign step from noise wider than the ball, without a projection (de Jorge et al., 2022), in training alone.

    x' = clip(s + α · sign(∇ℓ(s))), s = clip(x + η), η uniform in [−k ε, k ε], clip to [0, 1]: up to (k + 1) ε from x.
    """

    step_size: float | None = None
    """α; ε unless given."""
    noise_factor: float = 2.0
    """k, the range of the noise in units of ε (de Jorge et al.: 2; 3 on SVHN at ε = 12/255)."""

    bounded: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        factor = self.noise_factor
        require_field(0 < factor <= 100, "noise_factor", "above 0 and at most 100", factor, 0, 100)

    @property
    @override
    def usual_step(self) -> float:
        return self.epsilon

    @override
    def noise(self, shape: Shape, *, generator: torch.Generator) -> Images | None:
        """Return η, uniform in [−k ε, k ε]."""
        return GEOMETRIES["linf"].noise(shape, self.noise_factor * self.epsilon, generator=generator)

    @override
    def step(self, adversarial: Images, gradient: Images, images: Images, scale: Scale | None = None) -> Images:
        """Return the point after the step, clipped to [0, 1] alone."""
        check_length("step_size", self.alpha, images)
        return sign_step(adversarial, gradient, scaled(self.alpha, scale)).clamp(0, 1)

"""The noisy fast gradient sign method, for training alone."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from typing_extensions import override

from srat.attacks.base import Images, IterativeAttack, Scale, scaled
from srat.attacks.doubts import doubts_of_ball, doubts_of_steps, named_doubts
from srat.attacks.pgd import check_budget
from srat.attacks.projections import GEOMETRIES, Shape, check_length, sign_step
from srat.core.errors import require_field


@dataclass(frozen=True, kw_only=True)
class NFGSM(IterativeAttack, name="n-fgsm"):
    """One sign step from noise wider than the ball, without a projection (de Jorge et al., 2022), in training alone.

    x' = clip(x + η + α · sign(∇ℓ(x + η)), 0, 1) with η uniform in [−k ε, k ε]: up to (k + 1) ε away from x.
    """

    epsilon: float = 8 / 255
    """ε, the L∞ radius, in [0, 1] pixel units."""
    noise_factor: float = 2.0
    """k, the range of the noise in units of ε (de Jorge et al.: 2; 3 on SVHN at ε = 12/255)."""
    step_size: float | None = None
    """α; ε unless given."""

    own: ClassVar[frozenset[str]] = frozenset({"step_size"})
    bounded: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_budget(self.epsilon, "linf")
        factor, step = self.noise_factor, self.step_size
        require_field(0 < factor <= 100, "noise_factor", "above 0 and at most 100", factor, 0, 100)
        require_field(step is None or step > 0, "step_size", "a positive number", step, 0)

    @property
    @override
    def iterations(self) -> int:
        return 1

    @override
    def noise(self, shape: Shape, *, generator: torch.Generator) -> Images | None:
        """Return η, uniform in [−k ε, k ε]."""
        return GEOMETRIES["linf"].noise(shape, self.noise_factor * self.epsilon, generator=generator)

    @override
    def step(self, adversarial: Images, gradient: Images, images: Images, scale: Scale | None = None) -> Images:
        """Return the point after the step, clipped to [0, 1] alone."""
        check_length("step_size", self._alpha, images)
        return sign_step(adversarial, gradient, scaled(self._alpha, scale)).clamp(0, 1)

    @override
    def doubts(self, shape: Shape) -> tuple[str, ...]:
        steps = doubts_of_steps(self.epsilon, self._alpha, 1)
        return named_doubts(self.label, doubts_of_ball("linf", self.epsilon, shape), steps)

    @property
    def _alpha(self) -> float:
        return self.epsilon if self.step_size is None else self.step_size

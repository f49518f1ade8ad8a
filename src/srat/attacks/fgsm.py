"""The fast gradient sign method."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from typing_extensions import override

from srat.attacks.base import Images, IterativeAttack, Scale, scaled
from srat.attacks.doubts import doubts_of_ball, doubts_of_steps, named_doubts
from srat.attacks.pgd import ascend, check_budget
from srat.attacks.projections import GEOMETRIES, Shape, check_length
from srat.core.errors import require_field


@dataclass(frozen=True, kw_only=True)
class FGSM(IterativeAttack, name="fgsm"):
    """One sign step (Goodfellow et al., 2015), from a random start if asked for (Wong et al., 2020)."""

    epsilon: float = 8 / 255
    """ε, the L∞ radius, in [0, 1] pixel units."""
    random_start: bool = False
    """Start at a random point of the ball."""
    step_size: float | None = None
    """α; ε without a random start, 1.25 ε with one, unless given."""

    own: ClassVar[frozenset[str]] = frozenset({"random_start", "step_size"})

    def __post_init__(self) -> None:
        check_budget(self.epsilon, "linf")
        step = self.step_size
        require_field(step is None or step > 0, "step_size", "a positive number", step, 0)

    @property
    @override
    def iterations(self) -> int:
        return 1

    @override
    def noise(self, shape: Shape, *, generator: torch.Generator) -> Images | None:
        """Return noise uniform in the ball, or None without a random start."""
        return GEOMETRIES["linf"].noise(shape, self.epsilon, generator=generator) if self.random_start else None

    @override
    def step(self, adversarial: Images, gradient: Images, images: Images, scale: Scale | None = None) -> Images:
        check_length("step_size", self._alpha, images)
        epsilon, step_size = scaled(self.epsilon, scale), scaled(self._alpha, scale)
        return ascend(adversarial, gradient, images, norm="linf", epsilon=epsilon, step_size=step_size)

    @override
    def doubts(self, shape: Shape) -> tuple[str, ...]:
        steps = doubts_of_steps(self.epsilon, self._alpha, 1)
        return named_doubts(self.label, doubts_of_ball("linf", self.epsilon, shape), steps)

    @property
    def _alpha(self) -> float:
        default = 1.25 * self.epsilon if self.random_start else self.epsilon
        return default if self.step_size is None else self.step_size

"""Projected gradient descent, in L∞ and L2."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from srat.attacks.base import Images, IterativeAttack, Scale, scaled
from srat.attacks.doubts import doubts_of_ball, doubts_of_steps, named_doubts
from srat.attacks.projections import GEOMETRIES, Length, NormName, Shape, check_length
from srat.core.checked import checked
from srat.core.errors import require_field

MOST_STEPS = 10_000
MOST_RESTARTS = 1_000


@checked
def pgd_step(
    adversarial: Images, gradient: Images, images: Images, *, norm: NormName, epsilon: float, step_size: float
) -> Images:
    """Return x_{t+1} = Π(x_t + α · d_t) of projected gradient ascent, d_t the steepest direction in the norm.

    Π projects onto the ε-ball around the images and then clips to [0, 1]; that stays in the ball, for the
    images are in [0, 1] themselves. In L∞ the result is the nearest point of both; in L2 a nearer one may exist.

    Args:
        adversarial: x_t, (batch, channels, height, width), in [0, 1].
        gradient: ∇ₓ loss(x_t), of the same shape.
        images: the ball's centres, in [0, 1].
        norm: "linf" or "l2".
        epsilon: ε, the budget, in [0, 1] pixel units.
        step_size: α, in the same units.

    Raises:
        UserError: if ε or α is negative, or beyond the images' type.

    Source: Madry et al., 2018.
    """
    check_length("step_size", step_size, images)
    check_length("epsilon", epsilon, images)
    return ascend(adversarial, gradient, images, norm=norm, epsilon=epsilon, step_size=step_size)


def ascend(
    adversarial: Images, gradient: Images, images: Images, *, norm: NormName, epsilon: Length, step_size: Length
) -> Images:
    """Return `pgd_step`, of lengths that may be each image's own, (batch, 1, 1, 1)."""
    geometry = GEOMETRIES[norm]
    return geometry.project(geometry.step(adversarial, gradient, step_size), images, epsilon).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class PGD(IterativeAttack, name="pgd"):
    """Projected gradient descent (Madry et al., 2018)."""

    norm: NormName = "linf"
    """The ball: linf or l2."""
    epsilon: float = 8 / 255
    """ε, the ball's radius, in [0, 1] pixel units."""
    step_size: float = 2 / 255
    """α, in the same units (the paper: 2/255 on CIFAR-10, 1/255 on SVHN)."""
    steps: int = 10
    """Number of steps (the paper: 10 in training, 20 in testing)."""
    random_start: bool = True
    """Start at a random point of the ball."""
    restarts: int = 1
    """Number of starts; of each image the one with the largest loss is kept."""

    def __post_init__(self) -> None:
        check_budget(self.epsilon, self.norm)
        step, steps, restarts = self.step_size, self.steps, self.restarts
        require_field(0 < step < float("inf"), "step_size", "a positive number", step, 0)
        require_field(1 <= steps <= MOST_STEPS, "steps", f"1 to {MOST_STEPS:,}", steps)
        require_field(1 <= restarts <= MOST_RESTARTS, "restarts", f"1 to {MOST_RESTARTS:,}", restarts)
        require_field(self.random_start or restarts == 1, "restarts", "1 without a random start", restarts)

    @override
    def doubts(self, shape: Shape) -> tuple[str, ...]:
        steps = doubts_of_steps(self.epsilon, self.step_size, self.steps)
        return named_doubts(self.label, doubts_of_ball(self.norm, self.epsilon, shape), steps)

    @property
    @override
    def iterations(self) -> int:
        return self.steps

    @property
    @override
    def starts(self) -> int:
        return self.restarts

    @override
    def noise(self, shape: Shape, *, generator: torch.Generator) -> Images | None:
        """Return noise uniform in the ball, or None without a random start."""
        return GEOMETRIES[self.norm].noise(shape, self.epsilon, generator=generator) if self.random_start else None

    @override
    def step(self, adversarial: Images, gradient: Images, images: Images, scale: Scale | None = None) -> Images:
        check_length("step_size", self.step_size, images)
        epsilon, step_size = scaled(self.epsilon, scale), scaled(self.step_size, scale)
        return ascend(adversarial, gradient, images, norm=self.norm, epsilon=epsilon, step_size=step_size)


def check_budget(epsilon: float, norm: NormName) -> None:
    """Raise ``UserError`` unless ε is a budget in [0, 1] pixel units: at most 1 in L∞, finite in L2."""
    limit = 1.0 if norm == "linf" else 1e4
    of_bytes = 1 < epsilon <= 255 and norm == "linf"
    advice = f"it looks like units of 255: write {epsilon:g}/255" if of_bytes else ""
    wanted = f"above 0 and at most {limit:g}, in [0, 1] pixel units (8/255 is 0.0314)"
    require_field(0 < epsilon <= limit, "epsilon", wanted, epsilon, 0, limit, advice=advice)

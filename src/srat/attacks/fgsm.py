"""The fast gradient sign method."""

from dataclasses import dataclass

import torch

from srat.attacks.base import Attack, Images, LossAt
from srat.attacks.pgd import check_budget, pgd
from srat.errors import require


@dataclass(frozen=True, kw_only=True)
class FGSM(Attack, name="fgsm"):
    """One sign step (Goodfellow et al., 2015), from a random start if asked for (Wong et al., 2020)."""

    epsilon: float = 8 / 255
    """ε, the L∞ radius, in [0, 1] pixel units."""
    random_start: bool = False
    """Start at a random point of the ball."""
    step_size: float | None = None
    """α; ε without a random start, 1.25 ε with one, unless given."""

    def __post_init__(self) -> None:
        check_budget(self.epsilon, "linf")
        require(
            self.step_size is None or self.step_size > 0, f"step size: expected a positive number, got {self.step_size}"
        )

    def perturb(self, loss_at: LossAt, images: Images, *, generator: torch.Generator) -> Images:
        """Return the images after one projected step."""
        default = 1.25 * self.epsilon if self.random_start else self.epsilon
        return pgd(
            loss_at,
            images,
            norm="linf",
            epsilon=self.epsilon,
            step_size=default if self.step_size is None else self.step_size,
            steps=1,
            random_start=self.random_start,
            generator=generator,
        )

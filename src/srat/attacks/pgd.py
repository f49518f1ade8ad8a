"""Projected gradient descent, in L∞ and L2."""

from dataclasses import dataclass

import torch

from srat.attacks.base import Attack, Images, LossAt, input_gradient
from srat.attacks.projections import GEOMETRIES, NormName
from srat.errors import require


def pgd(
    loss_at: LossAt,
    images: Images,
    *,
    norm: NormName,
    epsilon: float,
    step_size: float,
    steps: int,
    random_start: bool,
    generator: torch.Generator,
) -> Images:
    """Return x_T of projected gradient ascent: x_{t+1} = Π(x_t + α · d_t), d_t the steepest direction in the norm.

    Π projects onto the ε-ball around the images and then clips to [0, 1]; that stays in the ball, for the
    images are in [0, 1] themselves.

    Args:
        loss_at: images → the loss of each, (batch,), to be made large.
        images: (batch, channels, height, width), in [0, 1].
        norm: "linf" or "l2".
        epsilon: ε, the budget, in [0, 1] pixel units.
        step_size: α, in the same units.
        steps: T.
        random_start: start at a point uniform in the ball instead of at the images.
        generator: the source of the start.

    Source: Madry et al., 2018.
    """
    geometry = GEOMETRIES[norm]
    adversarial = images
    if random_start:
        adversarial = geometry.start(images, epsilon, generator=generator).clamp(0, 1)
    for _ in range(steps):
        stepped = geometry.step(adversarial, input_gradient(loss_at, adversarial), step_size)
        adversarial = geometry.project(stepped, images, epsilon).clamp(0, 1)
    return adversarial.detach()


@dataclass(frozen=True, kw_only=True)
class PGD(Attack, name="pgd"):
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
        require(0 < self.step_size < float("inf"), f"step size: expected a positive number, got {self.step_size:g}")
        require(1 <= self.steps <= 10_000, f"attack steps: expected 1 to 10,000, got {self.steps}")
        require(1 <= self.restarts <= 1_000, f"attack restarts: expected 1 to 1,000, got {self.restarts}")
        require(self.random_start or self.restarts == 1, "restarts without a random start would all be the same")

    @property
    def label(self) -> str:
        """ "pgd-20"; other norms and restarts are part of the name."""
        return (
            f"pgd-{self.steps}"
            + ("" if self.norm == "linf" else f"-{self.norm}")
            + (f"x{self.restarts}" if self.restarts > 1 else "")
        )

    def perturb(self, loss_at: LossAt, images: Images, *, generator: torch.Generator) -> Images:
        """Return :func:`pgd` of the images, the worst over the restarts."""
        worst = self._run(loss_at, images, generator)
        if self.restarts == 1:
            return worst
        with torch.no_grad():
            worst_loss = loss_at(worst)
            for _ in range(self.restarts - 1):
                candidate = self._run(loss_at, images, generator)
                loss = loss_at(candidate)
                worse = loss > worst_loss
                worst = torch.where(worse[:, None, None, None], candidate, worst)
                worst_loss = torch.where(worse, loss, worst_loss)
        return worst

    def _run(self, loss_at: LossAt, images: Images, generator: torch.Generator) -> Images:
        return pgd(
            loss_at,
            images,
            norm=self.norm,
            epsilon=self.epsilon,
            step_size=self.step_size,
            steps=self.steps,
            random_start=self.random_start,
            generator=generator,
        )


def check_budget(epsilon: float, norm: NormName) -> None:
    """Raise ``UserError`` unless ε is a budget in [0, 1] pixel units: at most 1 in L∞, finite in L2."""
    limit = 1.0 if norm == "linf" else 1e4
    require(
        0 < epsilon <= limit,
        f"epsilon: expected above 0 and at most {limit:g}, in [0, 1] pixel units (8/255 is 0.0314), got {epsilon:g}",
    )

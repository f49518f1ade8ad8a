"""Adversarial weight perturbation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require_amount, require_field
from srat.models.classifier import BatchNorm
from srat.optimization.weight_perturbations.base import WeightPerturbation

_LEAST = 1e-20
"""What keeps 0 / 0 from being NaN."""


@checked
def adversarial_step(weight: Float[Tensor, "*shape"], gradient: Float[Tensor, "*shape"], gamma: float) -> Tensor:
    """Return v = γ · ‖w‖ · g / ‖g‖ of one tensor, in fp32; 0 where g is 0, or not finite.

    Args:
        weight: w.
        gradient: g, the gradient of the loss with respect to w, at any scale.
        gamma: γ, 0 or more.

    Returns:
        A tensor of w's shape, of length γ ‖w‖.

    Source: Wu et al., 2020, Eqs. 9 and 10; norms are those of whole tensors, as the authors' code has them.
    """
    check_gamma(gamma, "gamma")
    return step_of(weight, gradient, gamma)


def step_of(weight: Tensor, gradient: Tensor, gamma: float) -> Tensor:
    """Return `adversarial_step` of what is known to be right."""
    w, g = weight.detach().float(), gradient.float()
    direction = (g / (g.norm() + _LEAST)).nan_to_num(0.0, 0.0, 0.0)
    step: Tensor = direction * (gamma * w.norm())
    return step


def check_gamma(gamma: float, where: str) -> None:
    """Raise ``UserError`` unless γ is one; ``where`` says whose."""
    require_amount(gamma, where)


@dataclass(frozen=True, kw_only=True)
class AWP(WeightPerturbation, name="awp"):
    """Adversarial weight perturbation (Wu et al., 2020): the gradient is taken at w + v, v = γ · ‖w‖ · g / ‖g‖.

    g is the gradient of the step's objective on the adversarial images, which are made at w. It is of each tensor with
    more than one dimension, those of convolutions and linear layers: biases and BatchNorm stay. It costs one more pass
    forward and backward a step; weight decay acts on w.
    """

    gamma: float = 0.01
    """γ, the length of v as a part of that of w (the authors: 0.01, with TRADES 0.005)."""
    start: float = 0.0
    """Part of the run before which nothing is done, and nothing costs (the authors: TRADES 10 of 200 epochs)."""
    statistics: Literal["weights", "perturbed"] = "weights"
    """Where BatchNorm's running statistics come from: the pass at w, or that at w + v, as the authors have it."""

    def __post_init__(self) -> None:
        check_gamma(self.gamma, "weight_perturbation.gamma")
        require_field(0 <= self.start < 1, "weight_perturbation.start", "0 or more and less than 1", self.start, 0, 1)

    @override
    def applies(self, epoch: int, *, epochs: int) -> bool:
        return self.gamma > 0 and epoch >= self.start * epochs

    @contextmanager
    @override
    def perturbed(self, module: nn.Module, backward: Callable[[], None], *, epoch: int, epochs: int) -> Iterator[None]:
        if not self.applies(epoch, epochs=epochs):
            yield
            return
        with _still(module, self.statistics == "perturbed"):
            backward()
        moved = [p for p in module.parameters() if p.ndim > 1 and p.grad is not None]
        before = [p.detach().clone() for p in moved]
        with torch.no_grad():
            for p in moved:
                assert p.grad is not None
                p.add_(step_of(p, p.grad, self.gamma))
        module.zero_grad()
        try:
            with _still(module, self.statistics == "weights"):
                yield
        finally:  # from the copy: w + v − v is not w
            with torch.no_grad():
                for p, was in zip(moved, before, strict=True):
                    p.copy_(was)


@contextmanager
def _still(module: nn.Module, wanted: bool) -> Iterator[None]:
    """Leave BatchNorm's running statistics as they were, if that is wanted."""
    norms = [each for each in module.modules() if isinstance(each, BatchNorm)] if wanted else []
    buffers = [buffer for norm in norms for buffer in norm.buffers()]
    before = [buffer.clone() for buffer in buffers]
    yield
    for buffer, was in zip(buffers, before, strict=True):
        buffer.copy_(was)

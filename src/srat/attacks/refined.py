"""An attack whose steps are taken in several parts, with a look at the gradient before each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from srat.attacks.base import Images, IterativeAttack, Loss, Scale
from srat.core.errors import require, require_field


@dataclass(frozen=True, kw_only=True)
class Refined(IterativeAttack):
    """An attack with each of its steps in several parts; it has no name, for guards alone make it."""

    attack: IterativeAttack
    """Whose steps they are; it has a step size."""
    parts: int
    """How many of each, 1 or more: each is so much shorter."""

    def __post_init__(self) -> None:
        require_field(self.parts >= 1, "parts", "1 or more", self.parts)
        require(self.attack.alpha is not None, f"attack: expected one with a step size, got {self.attack.name}")

    @property
    @override
    def label(self) -> str:
        return f"{self.attack.label} in {self.iterations} steps"

    @property
    @override
    def alpha(self) -> float | None:
        return self._shorter.alpha

    @property
    @override
    def iterations(self) -> int:
        return self.attack.iterations * self.parts

    @property
    @override
    def starts(self) -> int:
        return self.attack.starts

    @override
    def loss(self, usual: Loss, logits: Tensor, labels: Tensor) -> Tensor:
        return self.attack.loss(usual, logits, labels)

    @override
    def noise(self, shape: Sequence[int], *, generator: torch.Generator) -> Images | None:
        return self.attack.noise(shape, generator=generator)

    @override
    def step(self, adversarial: Images, gradient: Images, images: Images, scale: Scale | None = None) -> Images:
        return self._shorter.step(adversarial, gradient, images, scale)

    @cached_property
    def _shorter(self) -> IterativeAttack:
        return with_step(self.attack, 1 / self.parts)


def with_step(attack: IterativeAttack, factor: float) -> IterativeAttack:
    """Return an attack with a step so many times as large.

    Args:
        attack: one with a step size.
        factor: above 0.
    """
    changed: dict[str, Any] = {"step_size": factor * (attack.alpha or 0.0)}
    return replace(attack, **changed)

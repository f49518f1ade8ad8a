"""An attack whose steps are taken in several parts, with a look at the gradient before each, or are shorter."""

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
    """An attack with each of its steps in several parts, or a shorter one; it has no name, for guards alone make it."""

    attack: IterativeAttack
    """Whose steps they are; it has a step size."""
    parts: int = 1
    """How many of each, all of the same size."""
    share: float = 1.0
    """What the sizes of a step's parts come to, in sizes of the step: above 1 they can turn, within a ball."""

    def __post_init__(self) -> None:
        require_field(self.parts >= 1, "parts", "1 or more", self.parts)
        require_field(0 < self.share <= self.parts, "share", "above 0 and at most `parts`", self.share, 0, self.parts)
        require(self.attack.alpha is not None, f"attack: expected one with a step size, got {self.attack.name}")

    @property
    @override
    def label(self) -> str:
        if self.parts > 1:
            return f"{self.attack.label} in {self.iterations} steps"
        return f"{self.attack.label} with {self.share:g} of its step"

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
        size: dict[str, Any] = {"step_size": (self.attack.alpha or 0.0) * self.share / self.parts}
        return replace(self.attack, **size)

"""The fast gradient sign method."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from typing_extensions import override

from srat.attacks.base import Images
from srat.attacks.projections import GEOMETRIES, Shape
from srat.attacks.single_step import SingleStep


@dataclass(frozen=True, kw_only=True)
class FGSM(SingleStep, name="fgsm"):
    """One sign step (Goodfellow et al., 2015), from a random start if asked for (Wong et al., 2020)."""

    step_size: float | None = None
    """α; ε without a random start, 1.25 ε with one, unless given."""
    random_start: bool = False
    """Start at a random point of the ball."""

    own: ClassVar[frozenset[str]] = SingleStep.own | {"random_start"}

    @property
    @override
    def usual_step(self) -> float:
        return 1.25 * self.epsilon if self.random_start else self.epsilon

    @override
    def noise(self, shape: Shape, *, generator: torch.Generator) -> Images | None:
        """Return noise uniform in the ball, or None without a random start."""
        return GEOMETRIES["linf"].noise(shape, self.epsilon, generator=generator) if self.random_start else None

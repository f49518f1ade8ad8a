"""Settings of attacks that can hardly be meant. They are said, not refused: some are used on purpose."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

from srat.attacks.projections import NormName, Shape
from srat.core.checked import checked
from srat.core.errors import require
from srat.core.words import number

_SLACK = 1e-9
"""Share by which 10 steps of 0.01 may miss 0.1, for rounding."""
_GREY = 0.5
_FAINT = 0.5
"""Levels of 255 that rounding to bytes takes away."""


@runtime_checkable
class Doubtful(Protocol):
    """What can say what is doubtful about it."""

    def doubts(self, shape: Shape) -> tuple[str, ...]:
        """Return what can hardly be meant on images of a shape (channels, height, width), a line each."""


@checked
def tell_doubts(attacks: Iterable[Doubtful], shape: Shape, tell: Callable[[str], None]) -> None:
    """Tell of what can hardly be meant about attacks, each line once.

    Args:
        attacks: the attacks.
        shape: of an image, (channels, height, width).
        tell: called with each.

    Raises:
        UserError: if something is no attack, or that no shape.
    """
    require(min(shape, default=0) >= 1, f"shape: expected (channels, height, width), got {tuple(shape)}")
    for doubt in dict.fromkeys(doubt for attack in attacks for doubt in attack.doubts(shape)):
        tell(doubt)


def named_doubts(label: str, *doubts: Sequence[str]) -> tuple[str, ...]:
    """Return doubts with the name of the attack before each."""
    return tuple(f"{label}: {doubt}" for several in doubts for doubt in several)


def doubts_of_ball(norm: NormName, epsilon: float, shape: Shape) -> list[str]:
    """Return what is doubtful about a ball.

    Args:
        norm: "linf" or "l2".
        epsilon: ε, in [0, 1] pixel units.
        shape: of an image, (channels, height, width).
    """
    if norm == "linf":
        grey = f"within a radius of {epsilon:g} every image can become the same grey, so that no model can be right"
        return [grey] if epsilon > _GREY else []
    diagonal = math.sqrt(math.prod(shape))
    spread = 255 * epsilon / diagonal
    if spread < _FAINT:
        size = f"a radius of {number(epsilon, 0)} in L2, spread over all pixels, is {spread:.2g} of 255 levels"
        return [f"{size}: is this an L∞ budget?"]
    product = "·".join(map(str, shape))
    far = f"a radius of {epsilon:g} is beyond the diagonal of the space of images, √({product}) = {diagonal:.3g}"
    return [far] if epsilon > diagonal else []


def doubts_of_steps(epsilon: float, step_size: float, steps: int) -> list[str]:
    """Return what is doubtful about steps in a ball.

    Args:
        epsilon: ε, the ball's radius.
        step_size: α, in the same units.
        steps: how many.
    """
    if step_size > 2 * epsilon * (1 + _SLACK):
        return [f"a step of {step_size:g} is longer than the diameter of the ball, {2 * epsilon:g}"]
    if steps * step_size < epsilon * (1 - _SLACK):
        several = f"{steps} steps" if steps > 1 else "1 step"
        return [f"{several} of {step_size:g} cannot reach the edge of a ball of radius {epsilon:g}"]
    return []

"""FAB: the nearest point of a linearised boundary, step by step, whatever the budget."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from srat.attacks.base import Images
from srat.attacks.projections import NormName
from srat.attacks.searches import MOST_TARGETS, Search, lengths, rival
from srat.attacks.walks import Ask, Labels, Logits, Stand, State, Walk, chosen, climbed

STEPS = 100
OVERSHOOT = 1.05
"""η: how far beyond the boundary a step goes."""
MOST_BIAS = 0.1
"""α_max, the largest part of a step that is taken from the image itself."""
BACK = 0.9
"""β, how far a point that is wrong goes back to the image."""
_FEW = 1e-8
_PASSES = 4


def to_hyperplane(points: Images, normal: Images, distance: Float[Tensor, " batch"], norm: NormName) -> Images:
    """Return the shortest d with w · d = −c, and points + d in [0, 1]; where there is none, the d that comes nearest.

    d goes against sign(c) · w, in L∞ by λ in each pixel, in L2 by λ |w|, less where a pixel meets the end of [0, 1]. λ
    is the root of a function of straight pieces, found by Newton's method from below.

    Args:
        points: (batch, channels, height, width), in [0, 1].
        normal: w, of the same shape.
        distance: c, how far points are on the side of w: w · x − b.
        norm: in which d is shortest.

    Source: Croce and Hein, 2020, Minimally Distorted Adversarial Examples, Section 2; they sort.
    """
    point, weight = points.flatten(1), normal.flatten(1)
    away = torch.where(distance >= 0, -1.0, 1.0)[:, None] * weight.sign()
    room = torch.where(away > 0, 1 - point, point)
    speed = (weight != 0).to(point.dtype) if norm == "linf" else weight.abs()
    gain = weight.abs() * speed
    ends = torch.where(speed > 0, room / speed, 0)  # λ at which a pixel is at its end
    length = _root(gain, ends, distance.abs())
    return (away * speed * torch.minimum(length[:, None], ends)).view_as(points)


def _root(gain: Tensor, ends: Tensor, wanted: Tensor) -> Tensor:
    """Return λ ≥ 0 of each row with Σ gain · min(λ, ends) = wanted; the largest end where the sum is less."""
    length = torch.zeros_like(wanted)
    for _ in range(gain.shape[1]):
        for _ in range(_PASSES):
            moving = length[:, None] < ends
            rest = wanted - torch.where(moving, 0, gain * ends).sum(dim=1)
            rate = torch.where(moving, gain, 0).sum(dim=1)
            before, length = length, torch.where(rate > 0, torch.maximum(length, rest / rate), length)
        if not bool((length > before).any()):  # of NaN, too
            break
    return torch.where(rate > 0, length, ends.amax(dim=1))


@dataclass(frozen=True, kw_only=True)
class Boundary(Walk):
    """Steps to the boundary between y and another class, drawn to the image; a point that is wrong goes back to it."""

    norm: NormName
    rank: int
    """Which class: `rival` at the untouched image."""
    steps: int = STEPS

    @property
    @override
    def points(self) -> int:
        return self.steps

    @override
    def begin(self, images: Images, drawn: Tensor | None) -> State:
        del drawn
        return {"from": images, "target": torch.zeros(len(images), dtype=torch.long, device=images.device)}

    @override
    def advance(self, ask: Ask, state: State, step: Int[Tensor, " batch"], images: Images, labels: Labels) -> Stand:
        here, targets = state["from"], [state["target"]]

        def lead(logits: Logits) -> Float[Tensor, " batch"]:
            targets.append(torch.where(step == 0, rival(logits.detach(), labels, self.rank), targets[0]))
            difference = logits.gather(1, targets[-1][:, None]) - logits.gather(1, labels[:, None])
            return difference.squeeze(1).float()

        _, difference, gradient = climbed(ask, here, lead)
        # Of the plane through the boundary: w · x − b at the point itself, and at the image.
        from_image = difference - (gradient * (here - images)).flatten(1).sum(dim=1)
        both = to_hyperplane(
            torch.cat((here, images)), torch.cat((gradient, gradient)), torch.cat((difference, from_image)), self.norm
        )
        step_here, step_image = both.chunk(2)
        near, far = (lengths(step, self.norm).clamp(min=_FEW) for step in (step_here, step_image))
        bias = (near / (near + far)).clamp(0, MOST_BIAS)
        point = (here + OVERSHOOT * step_here) * (1 - bias) + (images + OVERSHOOT * step_image) * bias
        point = point.clamp(0, 1)
        with torch.no_grad():
            logits = ask(point)
        wrong = logits.argmax(dim=1) != labels
        back = images + (point - images) * BACK
        return Stand(point, logits, {"from": chosen(wrong, back, point), "target": targets[-1]}, gradient)


@dataclass(frozen=True, kw_only=True)
class FABT(Search, name="fab-t"):
    """FAB towards each of nine classes, 100 steps (Croce and Hein, 2020)."""

    @override
    def walks(self, classes: int) -> Sequence[Walk]:
        ranks = range(2, min(MOST_TARGETS, classes - 1) + 2)
        return tuple(Boundary(norm=self.norm, rank=rank) for rank in ranks)

"""Auto-PGD, on cross-entropy and towards other classes: a step that halves itself where it leads to nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from srat.attacks.base import Images, each, started
from srat.attacks.projections import NormName
from srat.attacks.searches import MOST_TARGETS, Search, lengths, rival
from srat.attacks.walks import Ask, Labels, Logits, Stand, State, Walk, chosen, climbed
from srat.core.checked import checked
from srat.core.errors import require_field

STEPS = 100
MOMENTUM = 0.75
"""α, the part of a step that is the gradient's; the rest is that of the step before."""
RHO = 0.75
"""ρ, the part of steps since the last look that have to have raised the loss."""
_TINY = 1e-12


@checked
def targeted_dlr(
    logits: Logits, labels: Int[Tensor, " batch"], targets: Int[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """Return the targeted difference of logits ratio, −(z_y − z_t) / (z_(1) − (z_(3) + z_(4)) / 2), z_(1) the largest.

    With fewer than four classes there is no z_(4), and it is the margin z_t − z_y.

    Args:
        logits: z, (batch, classes).
        labels: y, (batch,), in [0, classes).
        targets: t, (batch,), in [0, classes).

    Source: Croce and Hein, 2020, Eq. 7.
    """
    difference = logits.gather(1, targets[:, None]).squeeze(1) - logits.gather(1, labels[:, None]).squeeze(1)
    if logits.shape[1] < APGDT.needs:
        return difference
    largest = logits.topk(4, dim=1).values
    return difference / (largest[:, 0] - 0.5 * (largest[:, 2] + largest[:, 3]) + _TINY)


@cache
def looks(steps: int) -> tuple[int, ...]:
    """Return for each step how many have passed since the last look, it included, if a look follows; else 0.

    The first look is after 22 % of the steps; each interval is 3 % of the steps shorter than the one before, down to
    6 %.

    Source: Croce and Hein, 2020, Section 3, and its code.
    """
    interval, least, less = (max(int(part * steps), 1) for part in (0.22, 0.06, 0.03))
    found, since = [], 0
    for _ in range(steps):
        since += 1
        found.append(since if since == interval else 0)
        if since == interval:
            interval, since = max(interval - less, least), 0
    return tuple(found)


@cache
def _intervals(steps: int, device: torch.device) -> Int[Tensor, " points"]:
    """Return `looks` after each point, the start first."""
    return torch.tensor((0, *looks(steps)), device=device)


@dataclass(frozen=True, kw_only=True)
class AutoPGD(Walk):
    """Ascent with momentum from a random start; the step, 2 ε at first, is halved where a look finds no progress.

    It goes on from the best point then. A look finds none if less than ρ of the steps since the last one have raised
    the loss, or if neither step nor best loss have changed since.
    """

    norm: NormName
    epsilon: float
    rank: int | None = None
    """Which class to go to, `rival` at the untouched image; None for away from y."""
    steps: int = STEPS

    @property
    @override
    def points(self) -> int:
        return self.steps + 1 + self._before

    @property
    def _before(self) -> int:
        """How many points come before the start: the untouched image, which tells the target."""
        return int(self.rank is not None)

    @override
    def draw(self, shape: Sequence[int], *, generator: torch.Generator) -> Tensor:
        """Return noise of length ε: uniform in L∞, its largest entry ε; of a Gaussian's direction in L2."""
        if self.norm == "linf":
            noise = 2 * torch.rand(*shape, generator=generator) - 1
        else:
            noise = torch.randn(*shape, generator=generator)
        return self.epsilon * _unit(noise, self.norm)

    @override
    def begin(self, images: Images, drawn: Tensor | None) -> State:
        start = started(images, drawn)
        number, many = images.new_zeros(len(images)), len(images)
        return {
            "point": start if self.rank is None else images,
            "before": start,
            "best": start,
            "best_gradient": torch.zeros_like(images),
            "best_loss": number,
            "last_loss": number,
            "looked_loss": number,
            "rises": number,
            "halved": torch.ones(many, dtype=torch.bool, device=images.device),
            "length": torch.full_like(number, 2 * self.epsilon),
            "target": torch.zeros(many, dtype=torch.long, device=images.device),
        }

    @override
    def advance(self, ask: Ask, state: State, step: Int[Tensor, " batch"], images: Images, labels: Labels) -> Stand:
        done, point = step - self._before, state["point"]  # −1 at the untouched image, 0 at the start
        target, before, waiting, first = state["target"], state["before"], done < 0, done == 0
        logits, loss, gradient = climbed(ask, point, lambda logits: self._loss(logits, labels, target))
        if self.rank is not None:
            target = torch.where(waiting, rival(logits, labels, self.rank), target)
        better = first | (loss > state["best_loss"])
        best, best_gradient = chosen(better, point, state["best"]), chosen(better, gradient, state["best_gradient"])
        best_loss = torch.where(better, loss, state["best_loss"])
        rises = torch.where(first, 0, state["rises"] + (loss > state["last_loss"]))
        interval = _intervals(self.steps, point.device)[done.clamp(min=0)]
        look = interval > 0
        stuck = (rises <= RHO * interval) | (~state["halved"] & (state["looked_loss"] >= best_loss))
        halve = look & stuck
        length = torch.where(halve, state["length"] / 2, state["length"])
        here, direction = chosen(halve, best, point), chosen(halve, best_gradient, gradient)
        momentum = torch.where(first, 1.0, MOMENTUM)
        moved = _MOVES[self.norm](here, here - before, direction, images, self.epsilon, length, momentum)
        return Stand(
            point,
            logits,
            {
                "point": chosen(waiting, before, moved),
                "before": chosen(waiting, before, here),
                "best": best,
                "best_gradient": best_gradient,
                "best_loss": best_loss,
                # The authors' code compares the loss after the first step with 0.
                "last_loss": torch.where(first, 0, loss),
                "looked_loss": torch.where(first, loss, torch.where(look, best_loss, state["looked_loss"])),
                "rises": torch.where(look, 0, rises),
                "halved": first | torch.where(look, stuck, state["halved"]),
                "length": length,
                "target": target,
            },
            gradient,
        )

    def _loss(self, logits: Logits, labels: Labels, targets: Labels) -> Float[Tensor, " batch"]:
        logits = logits.float()
        if self.rank is None:
            return functional.cross_entropy(logits, labels, reduction="none")
        return targeted_dlr(logits, labels, targets)


def _moved_linf(
    here: Images, inertia: Images, direction: Images, images: Images, epsilon: float, length: Tensor, momentum: Tensor
) -> Images:
    length, momentum, low, high = each(length), each(momentum), images - epsilon, images + epsilon
    stepped = (here + length * direction.sign()).clamp(low, high).clamp(0, 1)
    return (here + (stepped - here) * momentum + inertia * (1 - momentum)).clamp(low, high).clamp(0, 1)


def _moved_l2(
    here: Images, inertia: Images, direction: Images, images: Images, epsilon: float, length: Tensor, momentum: Tensor
) -> Images:
    length, momentum = each(length), each(momentum)
    stepped = _into_ball(here + length * _unit(direction, "l2"), images, epsilon)
    return _into_ball(here + (stepped - here) * momentum + inertia * (1 - momentum), images, epsilon)


_MOVES = {"linf": _moved_linf, "l2": _moved_l2}


def _into_ball(points: Images, images: Images, epsilon: float) -> Images:
    delta = points - images
    return (images + _unit(delta, "l2") * lengths(delta, "l2").clamp(max=epsilon)).clamp(0, 1)


def _unit(images: Images, norm: NormName) -> Images:
    return images / (lengths(images, norm) + _TINY)


@dataclass(frozen=True, kw_only=True)
class APGDCE(Search, name="apgd-ce"):
    """Auto-PGD on cross-entropy, 100 steps (Croce and Hein, 2020)."""

    @override
    def walks(self, classes: int) -> Sequence[Walk]:
        del classes
        return (AutoPGD(norm=self.norm, epsilon=self.epsilon),)


@dataclass(frozen=True, kw_only=True)
class APGDT(Search, name="apgd-t"):
    """Auto-PGD on the targeted DLR loss, 100 steps towards each of nine classes (Croce and Hein, 2020)."""

    needs: ClassVar[int] = 4

    targets: int = MOST_TARGETS
    """Classes to go to, those of the largest logits; all others where there are fewer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_field(1 <= self.targets <= 1000, "targets", "1 to 1,000", self.targets)

    @property
    @override
    def label(self) -> str:
        return super().label + (f"-{self.targets}" if self.targets != MOST_TARGETS else "")

    @override
    def walks(self, classes: int) -> Sequence[Walk]:
        ranks = range(2, min(self.targets, classes - 1) + 2)
        return tuple(AutoPGD(norm=self.norm, epsilon=self.epsilon, rank=rank) for rank in ranks)

"""Ways from an image, point by point, that each image of a batch goes by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from srat.attacks.base import Images, IterativeAttack, Loss, input_gradient, started
from srat.core.keyed_random import generator

Ask = Callable[[Tensor], Tensor]
"""Images (batch, channels, height, width) → logits, (batch, classes)."""
Logits = Float[Tensor, "batch classes"]
Labels = Int[Tensor, " batch"]
State = dict[str, Tensor]
"""What a walk knows of each image, by name; a row for each."""


class Stand(NamedTuple):
    """Where images have come to."""

    point: Images
    """Where the model was asked."""
    logits: Logits
    """What it said."""
    state: State
    """From which the walk goes on."""
    gradient: Images | None = None
    """By which it goes on, of a walk that asks for one."""


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A search near images at which a model is asked at one point after the other."""

    @property
    def points(self) -> int:
        """How many points it comes to."""
        raise NotImplementedError

    def draw(self, shape: Sequence[int], *, generator: torch.Generator) -> Tensor | None:
        """Return what an image has for itself, (1, …); None for nothing.

        Args:
            shape: of the image, (1, channels, height, width).
            generator: the source.
        """
        del shape, generator
        return None

    def begin(self, images: Images, drawn: Tensor | None) -> State:
        """Return what is known before the first point.

        Args:
            images: (batch, channels, height, width), in [0, 1].
            drawn: what was drawn for each, (batch, …).
        """
        raise NotImplementedError

    def advance(self, ask: Ask, state: State, step: Int[Tensor, " batch"], images: Images, labels: Labels) -> Stand:
        """Return the next point, what the model says there, and from where to go on.

        Args:
            ask: images → logits.
            state: of each image.
            step: how many points each has come to, (batch,).
            images: the untouched images, in [0, 1].
            labels: (batch,).
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Steps(Walk):
    """The walk of an attack that moves by the gradient of a loss, from one start."""

    attack: IterativeAttack
    usual: Loss
    """What it makes large, unless it has a loss of its own."""

    @property
    def points(self) -> int:
        """The start, and where each step leads."""
        return self.attack.iterations + 1

    def draw(self, shape: Sequence[int], *, generator: torch.Generator) -> Tensor | None:
        """Return the noise of a start."""
        return self.attack.noise(shape, generator=generator)

    def begin(self, images: Images, drawn: Tensor | None) -> State:
        """Return the start."""
        return {"point": started(images, drawn)}

    def advance(self, ask: Ask, state: State, step: Int[Tensor, " batch"], images: Images, labels: Labels) -> Stand:
        """Ask, and step."""
        del step
        point = state["point"]
        logits, _, gradient = climbed(ask, point, lambda logits: self.attack.loss(self.usual, logits, labels))
        return Stand(point, logits, {"point": self.attack.step(point, gradient, images)}, gradient)


def climbed(
    ask: Ask, images: Images, loss_of: Callable[[Logits], Float[Tensor, " batch"]]
) -> tuple[Logits, Float[Tensor, " batch"], Images]:
    """Return logits, losses and the losses' gradients at images, by one pass forward and one back.

    Args:
        ask: images → logits.
        images: (batch, channels, height, width).
        loss_of: logits → the loss of each.
    """
    seen: list[tuple[Tensor, Tensor]] = []

    def loss_at(images: Images) -> Float[Tensor, " batch"]:
        logits = ask(images)
        loss = loss_of(logits)
        seen.append((logits.detach(), loss.detach()))
        return loss

    gradient = input_gradient(loss_at, images)
    return (*seen[0], gradient)


def drawn_for(
    walk: Walk, shape: Sequence[int], seed: int, attack: str, place: int, images: Int[Tensor, " n"]
) -> Tensor | None:
    """Return what images have for themselves, a row for each; None of a walk that draws nothing.

    Args:
        walk: that draws it, on the CPU, so that it is the same on every device.
        shape: of an image, (channels, height, width).
        seed: of all randomness.
        attack: whose walk it is.
        place: of the walk among those of the attack.
        images: their numbers in the data set, on the device where it is wanted.
    """
    sources = (generator(seed, f"evaluation/{attack}", epoch=place, step=image) for image in images.tolist())
    draws = (walk.draw((1, *shape), generator=rng) for rng in sources)
    rows = [drawn for drawn in draws if drawn is not None]
    return torch.cat(rows).to(images.device) if rows else None


def right(logits: Logits, labels: Labels) -> Bool[Tensor, " batch"]:
    """Return which logits are right; NaN would count as a vote for class 0, and so counts as wrong."""
    return (logits.argmax(dim=1) == labels) & logits.isfinite().all(dim=1)


def chosen(which: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Return, row by row, the one or the other.

    Args:
        which: (batch,), booleans.
        yes: (batch, …), where it is true.
        no: of the same shape, where it is not.
    """
    return torch.where(which.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)

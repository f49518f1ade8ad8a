"""Attacks for evaluation alone, which bring losses and starts of their own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from srat.attacks.base import Adversary, Images
from srat.attacks.doubts import doubts_of_ball, named_doubts, tell_doubts
from srat.attacks.pgd import check_budget
from srat.attacks.projections import NormName, Shape, within
from srat.attacks.walks import Ask, Labels, Logits, Walk, drawn_for, right
from srat.core.checked import checked
from srat.core.errors import require
from srat.core.gradients import ordinary, taking_gradients
from srat.core.warn import warn
from srat.data.pixels import check_attackable

MOST_TARGETS = 9
"""Other classes that AutoAttack goes to."""


@dataclass(frozen=True, kw_only=True)
class Search(Adversary):
    """An attack that is given logits and labels, and looks for images within its budget that are wrong.

    It has stages, and a stage has walks; each is made of the images that the ones before have not broken.
    """

    norm: NormName = "linf"
    """The ball: linf or l2."""
    epsilon: float = 8 / 255
    """ε, the ball's radius, in [0, 1] pixel units."""

    needs: ClassVar[int] = 2
    """Classes below which it takes the margin for its loss."""

    def __post_init__(self) -> None:
        check_budget(self.epsilon, self.norm)

    @property
    def stages(self) -> "Sequence[Search]":
        """The attacks that are made one after the other; itself alone, unless it is made of several."""
        return (self,)

    def walks(self, classes: int) -> Sequence[Walk]:
        """Return the walks of a stage, on so many classes."""
        raise NotImplementedError

    def doubts(self, shape: Shape) -> tuple[str, ...]:
        """Return what can hardly be meant about the ball, on images of a shape (channels, height, width)."""
        return named_doubts(self.label, doubts_of_ball(self.norm, self.epsilon, shape))

    def note(self, classes: int) -> str:
        """Return what is to be said of its results on so many classes; nothing, as a rule."""
        changed = [stage.name for stage in self.stages if classes < stage.needs]
        return f"{', '.join(changed)}: on {classes} classes DLR is undefined, the margin took its place" * bool(changed)

    @taking_gradients
    @checked
    def __call__(
        self, logits_at: Ask, images: Tensor, labels: Int[Tensor, " batch"], *, classes: int, seed: int
    ) -> Images:
        """Return adversarial images, and as they are those that it has not broken.

        Args:
            logits_at: images → logits, (batch, classes); of the parameters none may want a gradient.
            images: (batch, channels, height, width), in [0, 1], each classified rightly.
            labels: (batch,).
            classes: how many there are.
            seed: of all randomness.

        Returns:
            Images of the same shape, in [0, 1] and within the budget.

        Raises:
            UserError: if the images are not floating point in [0, 1], or the labels not one for each.

        Warns:
            UserWarning: on a ball that can hardly be meant.
        """
        check_attackable(images)
        require(len(labels) == len(images), f"labels: expected one for each of {len(images)} images, got {len(labels)}")
        tell_doubts((self,), images.shape[1:], warn)
        return self.perturb(logits_at, ordinary(images), ordinary(labels).long(), classes=classes, seed=seed)

    def perturb(self, logits_at: Ask, images: Images, labels: Labels, *, classes: int, seed: int) -> Images:
        """Do what a call does, for images and labels that were looked at before."""
        found = images
        for stage in self.stages:
            standing = (found == images).flatten(1).all(dim=1).nonzero().flatten()
            if len(standing):
                made = stage.attacked(
                    logits_at, images[standing], labels[standing], standing, classes=classes, seed=seed
                )
                found = found.index_copy(0, standing, made)
        return found

    def attacked(
        self, logits_at: Ask, images: Images, labels: Labels, numbers: Int[Tensor, " batch"], *, classes: int, seed: int
    ) -> Images:
        """Return what a stage makes of images; ``numbers``, of each, names its random numbers."""
        found, standing = images.clone(), torch.arange(len(images), device=images.device)
        for place, walk in enumerate(self.walks(classes)):
            drawn = drawn_for(walk, images.shape[1:], seed, self.name, place, numbers[standing])
            for left, points in self._walked(walk, logits_at, images[standing], labels[standing], drawn):
                broken, standing = standing[~left], standing[left]
                found[broken] = points
        return found

    def _walked(
        self, walk: Walk, ask: Ask, images: Tensor, labels: Tensor, drawn: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield, point by point, which of the images left stand, and the points of those that do not."""
        state = walk.begin(images, drawn)
        for number in range(walk.points):
            if len(images) == 0:
                return
            stand = walk.advance(ask, state, torch.full_like(labels, number), images, labels)
            left = right(stand.logits, labels) | ~within(stand.point, images, norm=self.norm, epsilon=self.epsilon)
            yield left, stand.point[~left]
            images, labels, state = images[left], labels[left], {name: kept[left] for name, kept in stand.state.items()}


def rival(logits: Logits, labels: Labels, rank: int) -> Int[Tensor, " batch"]:
    """Return the class of each image's rank-th largest logit, its own counted as the first: from 2 on."""
    return logits.scatter(1, labels[:, None], torch.inf).argsort(dim=1)[:, -rank]


def lengths(images: Images, norm: NormName) -> Float[Tensor, "batch 1 1 1"]:
    """Return ‖x‖ of each image."""
    flat = images.flatten(1)
    length = flat.abs().amax(dim=1) if norm == "linf" else flat.pow(2).sum(dim=1).sqrt()
    return length[:, None, None, None]

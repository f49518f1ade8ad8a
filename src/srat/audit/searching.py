"""Searches for what the claimed attack has missed: steps along other directions, to points of other shapes."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from srat.attacks import input_gradient
from srat.attacks.pgd_margin import margin_of
from srat.attacks.walks import right
from srat.audit.base import Labels, Subject
from srat.core.keyed_random import generator
from srat.evaluation.expected import Expected
from srat.evaluation.serving import lent_exactly
from srat.models import logits_at

Images = Float[Tensor, "batch channels height width"]


class Task(NamedTuple):
    """What a search has before it."""

    model: nn.Module
    """As lent by `lent_exactly`."""
    images: Images
    """Untouched, in [0, 1]."""
    labels: Labels
    rng: torch.Generator
    """On the images' device."""


Direction = Callable[[Task, Images], Images]
"""Task and points → the directions in which to move them, whatever their lengths."""
Shape = Callable[[Task, Images], Images]
"""Task and points of the ball → points of the ball of a certain shape."""


def margin_at(task: Task, points: Images) -> Float[Tensor, " batch"]:
    """Return the margin by which each point is wrong, max_{j ≠ y} z_j − z_y."""
    return margin_of(logits_at(task.model, points), task.labels)


def by_gradient(task: Task, points: Images) -> Images:
    """Return the gradient of the margin."""
    return input_gradient(lambda images: margin_at(task, images), points)


def unshaped(task: Task, points: Images) -> Images:
    """Return the points as they are."""
    del task
    return points


def broken_along(
    subject: Subject,
    direction: Direction,
    shape: Shape = unshaped,
    *,
    purpose: str,
    momentum: float = 0.0,
) -> Tensor:
    """Return which of the images that the claimed attack leaves, on either loss, break in a search, (unbroken,).

    A search begins at the image itself and takes the claimed attack's steps. What counts is what the model says without
    being asked for a gradient.

    Args:
        subject: the model, its images, the claimed attack.
        direction: where each step goes.
        shape: what is made of each point of the way before the model sees it.
        purpose: the key of the search's randomness.
        momentum: the share of the direction before, at the length of 1 for each image, that a direction keeps.
    """
    in_place = isinstance(subject.model, Expected)  # whose draws are those of an image's place
    found = []
    with lent_exactly(subject.model) as lent:
        for number, (images, labels) in enumerate(subject.batches(subject.every if in_place else subject.unbroken)):
            rng = generator(subject.seed, f"audit/{purpose}", step=number, device=subject.device)
            found.append(_broken(subject, Task(lent, images, labels, rng), direction, shape, momentum))
    broken = torch.cat(found) if found else torch.zeros(0, dtype=torch.bool, device=subject.device)
    return broken[subject.unbroken] if in_place else broken


def _broken(subject: Subject, task: Task, direction: Direction, shape: Shape, momentum: float) -> Tensor:
    path, points, before = task.images, task.images, torch.zeros_like(task.images)
    broken = torch.zeros_like(task.labels, dtype=torch.bool)
    for _ in range(subject.threat.steps):
        before = momentum * before + _of_length_one(direction(task, points))
        # The way itself has no shape: steps that are smaller than what the shape lets through would lead nowhere.
        path = subject.threat.step(path, before, task.images)
        points = shape(task, path)
        with torch.no_grad():
            broken |= ~right(logits_at(task.model, points), task.labels)
        if bool(broken.all()):
            break
    return broken


def _of_length_one(gradient: Images) -> Images:
    gradient = gradient.nan_to_num(posinf=0, neginf=0)
    length: Tensor = torch.linalg.vector_norm(gradient.double(), dim=(1, 2, 3), keepdim=True)
    return gradient.div(length.clamp(min=1e-300)).to(gradient.dtype)

"""Images as files hold them."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from srat.audit.base import SEVERITY, Check, Finding, Subject, judged
from srat.audit.searching import Images, Task, broken_along, by_gradient
from srat.core.keyed_random import generator
from srat.core.words import percent
from srat.evaluation.serving import lent_exactly
from srat.models import logits_at

LEVELS = 255
"""Steps of grey that a file tells apart."""
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class Stored(Check, name="stored"):
    """A model that tells images of files from what attacks make of them, by pixels between the levels of a file."""

    question: ClassVar[str] = "Is the model as robust to adversarial images that a file can hold?"
    warn: float = 0.02
    """Share of images that they alone break, or that rounding to bytes gives another class, …"""
    fail: float = 0.05
    """… above which the claimed attack was kept from what is served."""

    def examine(self, subject: Subject) -> Finding:
        """Attack on the levels what the claimed attack has left; round what it found, and move it off the levels."""
        n = subject.n
        own = levels_of(subject)
        shapes = (on_levels,) if len(own) > LEVELS else (on_levels, partial(on_levels, levels=own))
        found = torch.stack([broken_along(subject, by_gradient, shape, purpose=self.name) for shape in shapes])
        broken = int(found.any(dim=0).sum())
        turned = self._turned(subject)
        verdicts = [judged(count, n, warn=self.warn, fail=self.fail) for count in (broken, turned)]
        return Finding(
            verdict=max(verdicts, key=SEVERITY.__getitem__),
            evidence=f"on the levels of a file, an attack breaks {percent(broken, n)} that the claimed one does not; "
            f"rounding gives {percent(turned, n)} of the attacked images another class",
            figures={"broken": broken / n, "turned": turned / n},
        )

    def _turned(self, subject: Subject) -> int:
        """Return how many attacked images rounding gives another class, less those that as small a change does."""
        turned = 0
        with torch.no_grad(), lent_exactly(subject.model) as lent:
            for number, (points, (images, labels)) in enumerate(
                zip(subject.attacked, subject.batches(subject.every), strict=True)
            ):
                rng = generator(subject.seed, "audit/stored/turned", step=number, device=subject.device)
                rounded = on_levels(Task(lent, images, labels, rng), points)
                said, on, off = (
                    logits_at(lent, each).argmax(dim=1) for each in (points, rounded, 2 * points - rounded)
                )
                turned += int((on != said).sum()) - int((off != said).sum())
        return max(0, turned)


def levels_of(subject: Subject) -> Float[Tensor, " levels"]:
    """Return the levels that the images have, in their order: fewer than a file's in data of few greys."""
    of_batches = [torch.unique(images) for images, _ in subject.batches(subject.every)]
    levels: Tensor = torch.unique(torch.cat(of_batches))
    return levels


def on_levels(task: Task, points: Images, levels: Float[Tensor, " levels"] | None = None) -> Images:
    """Return points on levels, the nearest that are no further from images on levels than they are.

    Args:
        task: with the images.
        points: to be moved.
        levels: from 0 to 1, in their order; by default the 256 of a file.
    """
    if levels is None:
        levels = torch.arange(LEVELS + 1, device=points.device) / LEVELS
    place, own = _nearest(levels, points), _nearest(levels, task.images)
    further = (levels[place] - task.images).abs() > (points - task.images).abs() + _ROUNDING
    return levels[place - torch.where(further, (place - own).sign(), 0)]


def _nearest(levels: Float[Tensor, " levels"], points: Images) -> Int[Tensor, "batch channels height width"]:
    """Return the place of each number's nearest level."""
    return torch.bucketize(points, (levels[1:] + levels[:-1]) / 2)

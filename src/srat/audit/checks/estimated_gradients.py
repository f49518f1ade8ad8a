"""Gradients from answers alone."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional as F

from srat.audit.base import Finding, FurtherAttack, Subject
from srat.audit.searching import Images, Task, broken_along, margin_at

_COARSE = 4
"""Pixels of the side of a square that moves as one, in every second direction."""


@dataclass(frozen=True, kw_only=True)
class EstimatedGradients(FurtherAttack, name="estimated-gradients"):
    """Gradients that a model withholds, or that are not its own: then differences of its answers lead further."""

    question: ClassVar[str] = "Do gradients estimated from the model's answers lead no further than its own?"
    pairs: int = 16
    """Of opposite points that a gradient is estimated from."""
    momentum: float = 0.9
    """The share of the estimates before that an estimate keeps."""

    def examine(self, subject: Subject) -> Finding:
        """Attack what the claimed attack has left, by SPSA (Spall, 1992; Uesato et al., 2018) on the margin."""

        def estimated(task: Task, points: Images) -> Images:
            return estimated_gradient(task, points, offset=subject.threat.epsilon / 2, pairs=self.pairs)

        broken = int(broken_along(subject, estimated, purpose=self.name, momentum=self.momentum).sum())
        return self.found(subject, broken, f"gradients estimated from {2 * self.pairs} answers each")


def estimated_gradient(task: Task, points: Images, *, offset: float, pairs: int) -> Images:
    """Return Σ (m(x + c d) − m(x − c d)) d, m the margin: the direction of its gradient, as answers tell it.

    Args:
        task: the model, and what it is asked.
        points: x.
        offset: c, in [0, 1] pixel units.
        pairs: how many d there are, of random signs, those of every second one for squares of pixels.
    """
    total = torch.zeros_like(points)
    for pair in range(pairs):
        signs = signs_like(points, coarse=bool(pair % 2), rng=task.rng)
        with torch.no_grad():
            change = margin_at(task, points + offset * signs) - margin_at(task, points - offset * signs)
        total += change.nan_to_num(posinf=0, neginf=0)[:, None, None, None] * signs
    return total


def signs_like(images: Images, *, coarse: bool, rng: torch.Generator) -> Images:
    """Return −1 or 1 for each number of some images; of coarse ones for each square of pixels."""
    n, channels, height, width = images.shape
    if coarse:
        height, width = -(-height // _COARSE), -(-width // _COARSE)
    drawn = torch.randint(0, 2, (n, channels, height, width), generator=rng, device=rng.device) * 2.0 - 1
    if not coarse:
        return drawn
    large = F.interpolate(drawn, scale_factor=_COARSE, mode="nearest")
    return large[:, :, : images.shape[2], : images.shape[3]]

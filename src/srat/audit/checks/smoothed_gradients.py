"""Gradients of the neighbourhood."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from srat.audit.base import Finding, FurtherAttack, Subject
from srat.audit.searching import Images, Task, broken_along, by_gradient


@dataclass(frozen=True, kw_only=True)
class SmoothedGradients(FurtherAttack, name="smoothed-gradients"):
    """Gradients of jumps and of waves too fine to follow: their mean over a neighbourhood leads further."""

    question: ClassVar[str] = "Do gradients averaged over a neighbourhood lead no further than those at the point?"
    draws: int = 5
    """Points of the neighbourhood."""
    momentum: float = 0.75
    """The share of the directions before that a direction keeps."""

    def examine(self, subject: Subject) -> Finding:
        """Attack what the claimed attack has left, along the margin's mean gradient over half the ball."""

        def smoothed(task: Task, points: Images) -> Images:
            noises = (torch.randn(points.shape, generator=task.rng, device=task.rng.device) for _ in range(self.draws))
            near = (points + subject.threat.epsilon / 2 * noise for noise in noises)
            return torch.stack([by_gradient(task, images) for images in near]).nan_to_num().sum(dim=0)

        broken = int(broken_along(subject, smoothed, purpose=self.name, momentum=self.momentum).sum())
        return self.found(subject, broken, f"mean gradients of {self.draws} points nearby")

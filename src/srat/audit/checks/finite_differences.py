"""Gradients beside what they promise."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from srat.attacks import started
from srat.audit.base import Check, Finding, Subject, judged
from srat.audit.searching import Images, Task, by_gradient, margin_at
from srat.core.keyed_random import generator
from srat.core.words import percent
from srat.evaluation.serving import lent_exactly
from srat.models import logits_at


@dataclass(frozen=True, kw_only=True)
class FiniteDifferences(Check, name="finite-differences"):
    """Gradients that are not the model's: of another function, cut off, or of steps between which nothing changes."""

    question: ClassVar[str] = "Does the margin between the logits change as its gradient says?"
    directions: int = 6
    """In which each image is moved, the gradient's own among them."""
    part: float = 1 / 16
    """Of ε, by which a number is moved to either side."""
    error: float = 0.5
    """Share of the changes, over all directions, that gradient and differences may be apart."""
    warn: float = 0.1
    """Share of the images where they are further apart, as they are at the kinks of some networks, …"""
    fail: float = 0.3
    """… above which the gradients are not the model's."""

    def examine(self, subject: Subject) -> Finding:
        """Compare at every second image that is right, and at a random start near each of the others."""
        apart, total, length = 0, len(subject.right), self.part * subject.threat.epsilon
        with lent_exactly(subject.model) as lent:
            for number, (images, labels) in enumerate(subject.batches(subject.right)):
                rng = generator(subject.seed, f"audit/{self.name}", step=number, device=subject.device)
                points = started(images, subject.threat.noise(images.shape, generator=rng))
                points[::2] = images[::2]  # where searches begin
                apart += int(self._apart(Task(lent, images, labels, rng), points, length).sum())
        return Finding(
            verdict=judged(apart, total, warn=self.warn, fail=self.fail),
            evidence=f"at {percent(apart, total)} of the {total:,} images that are right, the margin does not change "
            "as its gradient says",
            figures={"apart": apart / total if total else 0.0},
        )

    def _apart(self, task: Task, points: Images, length: float) -> Tensor:
        gradient = by_gradient(task, points).nan_to_num(posinf=0, neginf=0)
        promised, measured = [], []
        for number in range(self.directions):
            drawn = torch.randn(points.shape, generator=task.rng, device=task.rng.device)
            signs = (drawn if number else gradient).sign()
            promised.append(2 * length * (gradient.double() * signs).flatten(1).sum(dim=1))
            with torch.no_grad():
                ahead, behind = (margin_at(task, points + side * length * signs).double() for side in (1, -1))
            measured.append(ahead - behind)
        says, does = torch.stack(promised, dim=1), torch.stack(measured, dim=1).nan_to_num()
        with torch.no_grad():
            logits = logits_at(task.model, points).nan_to_num()
        # Of the leads, so that large numbers added to all logits, in which differences drown, do not pass for it.
        rounding = 1e-5 * (logits - logits.mean(dim=1, keepdim=True)).abs().amax(dim=1)
        size = torch.maximum(says.norm(dim=1), does.norm(dim=1))
        return torch.gt((says - does).norm(dim=1), self.error * size + rounding)

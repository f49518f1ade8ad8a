"""Perturbations of other shapes."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional as F

from srat.audit.base import Check, Finding, Subject, judged
from srat.audit.searching import Images, Shape, Task, broken_along, by_gradient
from srat.core.words import percent

_FEW = 0.25
"""The share of an image's numbers, those of the largest gradients, that may change."""


@dataclass(frozen=True, kw_only=True)
class Footprints(Check, name="footprints"):
    """Detectors of an attack's traces: weaker perturbations, without those traces, break what stronger ones do not."""

    question: ClassVar[str] = "Do perturbations that are sparse, smooth, uneven or keep off the edge break no more?"
    warn: float = 0.02
    """Share of images that they break, all together, and the claimed attack does not, …"""
    fail: float = 0.05
    """… above which the model answers to the shape of an attack."""

    def examine(self, subject: Subject) -> Finding:
        """Attack what the claimed attack has left, in each shape."""
        n = subject.n
        broken = {
            name: broken_along(subject, by_gradient, shape, purpose=f"{self.name}/{name}")
            for name, shape in SHAPES.items()
        }
        together = int(torch.stack(list(broken.values())).any(dim=0).sum())
        counts = {name: int(found.sum()) for name, found in broken.items()}
        return Finding(
            verdict=judged(together, n, warn=self.warn, fail=self.fail),
            evidence=f"weaker perturbations break {percent(together, n)} that the claimed attack does not: "
            + ", ".join(f"{name} {percent(count, n)}" for name, count in counts.items()),
            figures={name: count / n for name, count in {**counts, "together": together}.items()},
        )


def sparse(task: Task, points: Images) -> Images:
    """Return points that differ from the images in few numbers, those of the images' largest gradients."""
    size = by_gradient(task, task.images).abs().flatten(1)
    count = max(1, round(_FEW * size.shape[1]))
    least = size.topk(count, dim=1).values[:, -1:]
    return torch.where((size >= least).view_as(points), points, task.images)


def smooth(task: Task, points: Images) -> Images:
    """Return points whose difference from the images is a mean over 3 × 3 pixels."""
    difference = F.pad(points - task.images, (1, 1, 1, 1), mode="replicate")
    return (task.images + F.avg_pool2d(difference, 3, stride=1)).clamp(0, 1)


def uneven(task: Task, points: Images) -> Images:
    """Return points at differences of all sizes, from seven tenths of the given ones on."""
    share = 0.7 + 0.3 * torch.rand(points.shape, generator=task.rng, device=task.rng.device)
    return task.images + share * (points - task.images)


def inner(task: Task, points: Images) -> Images:
    """Return points that differ from the images anywhere but in the outermost rows and columns."""
    found = task.images.clone()
    found[..., 1:-1, 1:-1] = points[..., 1:-1, 1:-1]
    return found


SHAPES: dict[str, Shape] = {"sparse": sparse, "smooth": smooth, "uneven": uneven, "inner": inner}

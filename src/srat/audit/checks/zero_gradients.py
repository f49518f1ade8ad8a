"""Gradients of nothing."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from srat.attacks import input_gradient, started
from srat.audit.base import BATCH, Check, Finding, Subject, judged, percent
from srat.losses import cross_entropy
from srat.models import attacked, logits_of
from srat.random import generator


@dataclass(frozen=True, kw_only=True)
class ZeroGradients(Check, name="zero-gradients"):
    """Images at which cross-entropy has no gradient: an attack by gradients stays where it begins."""

    question: ClassVar[str] = "Has the loss a gradient at every image that is classified rightly?"
    warn: float = 0.01
    """Share of the images without one, …"""
    fail: float = 0.05
    """… above which gradients are masked."""

    def examine(self, subject: Subject) -> Finding:
        """Take the gradient at a random start near each image."""
        images, labels = subject.unit(subject.right), subject.images.labels[subject.right]
        noise = subject.threat.noise(images.shape, generator=generator(subject.seed, "audit/zero-gradients"))
        points = started(images, None if noise is None else noise.to(images.device))
        nothing = 0
        with attacked(subject.model) as served:
            for batch, label in zip(torch.split(points, BATCH), torch.split(labels, BATCH), strict=True):

                def loss_at(x: torch.Tensor, label: torch.Tensor = label) -> torch.Tensor:
                    return cross_entropy(logits_of(served(x)).float(), label)

                gradient = input_gradient(loss_at, batch).flatten(1)
                nothing += int(((gradient == 0) | ~gradient.isfinite()).all(dim=1).sum())
        total = len(labels)
        return Finding(
            verdict=judged(nothing, total, warn=self.warn, fail=self.fail),
            evidence=f"{percent(nothing, total)} of {total:,} images have no gradient at all",
            figures={"share": nothing / total if total else 0.0},
        )

"""Gradients of nothing."""

from dataclasses import dataclass
from typing import ClassVar

from srat.attacks import input_gradient, started
from srat.audit.base import Check, Finding, Subject, judged
from srat.core.keyed_random import generator
from srat.core.words import percent
from srat.evaluation.serving import lent_exactly, loss_on


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
        nothing, total = 0, len(subject.right)
        with lent_exactly(subject.model) as lent:
            for number, (images, labels) in enumerate(subject.batches(subject.right)):
                rng = generator(subject.seed, "audit/zero-gradients", step=number, device=subject.device)
                points = started(images, subject.threat.noise(images.shape, generator=rng))
                gradient = input_gradient(loss_on(lent, labels), points).flatten(1)
                nothing += int(((gradient == 0) | ~gradient.isfinite()).all(dim=1).sum())
        return Finding(
            verdict=judged(nothing, total, warn=self.warn, fail=self.fail),
            evidence=f"{percent(nothing, total)} of the {total:,} images that are right have no gradient at all",
            figures={"share": nothing / total if total else 0.0},
        )

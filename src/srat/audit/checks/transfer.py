"""Adversarial images of another model."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from srat.audit.base import BATCH, Check, Finding, Subject, judged, percent
from srat.losses import cross_entropy
from srat.models import attacked, logits_of
from srat.random import generator


@dataclass(frozen=True, kw_only=True)
class Transfer(Check, name="transfer"):
    """Gradients that mislead: then images made for an undefended model break what the model's own attack does not."""

    question: ClassVar[str] = "Do adversarial images of a naturally trained model break no more than its own?"
    warn: float = 0.01
    """Share of images that they break beside the claimed attack, …"""
    fail: float = 0.05
    """… above which the claimed attack was misled."""

    def examine(self, subject: Subject) -> Finding | None:
        """Attack the other model at what the claimed attack has left, and show the result to this one."""
        if subject.source is None:
            return None
        n, broken = subject.n, 0
        with attacked(subject.source) as source, attacked(subject.model) as served:
            for number, positions in enumerate(torch.split(subject.standing, BATCH)):
                images, labels = subject.unit(positions), subject.images.labels[positions]

                def loss_at(x: torch.Tensor, labels: torch.Tensor = labels) -> torch.Tensor:
                    return cross_entropy(logits_of(source(x)), labels)

                rng = generator(subject.seed, "audit/transfer", step=number, device=images.device)
                adversarial = subject.threat.perturb(loss_at, images, generator=rng)
                with torch.no_grad():
                    broken += int((logits_of(served(adversarial)).argmax(dim=1) != labels).sum())
        return Finding(
            verdict=judged(broken, n, warn=self.warn, fail=self.fail),
            evidence=f"images made for a naturally trained model break {percent(broken, n)} beside the claimed attack",
            figures={"broken": broken / n},
        )

"""Adversarial images of another model."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from srat.audit.base import Check, Finding, Subject, judged
from srat.core.keyed_random import generator
from srat.core.words import percent
from srat.evaluation.serving import last_points, lent_exactly, right
from srat.models import logits_at


@dataclass(frozen=True, kw_only=True)
class Transfer(Check, name="transfer"):
    """Gradients that mislead: then images made for an undefended model break what the model's own attack does not."""

    question: ClassVar[str] = "Do adversarial images of a naturally trained model break no more than its own?"
    needs: ClassVar[frozenset[str]] = frozenset({"source"})
    warn: float = 0.01
    """Share of images that they break beside the claimed attack, …"""
    fail: float = 0.05
    """… above which the claimed attack was misled."""

    def examine(self, subject: Subject) -> Finding | None:
        """Attack the other model at what the claimed attack has left, and show the result to this one."""
        if subject.source is None:
            return None
        n, broken = subject.n, 0
        with lent_exactly(subject.source) as source, lent_exactly(subject.model) as lent:
            for number, (images, labels) in enumerate(subject.batches(subject.standing)):
                rng = generator(subject.seed, "audit/transfer", step=number, device=subject.device)
                adversarial = last_points(source, images, labels, subject.threat, generator=rng)
                with torch.no_grad():
                    broken += int((~right(logits_at(lent, adversarial), labels)).sum())
        return Finding(
            verdict=judged(broken, n, warn=self.warn, fail=self.fail),
            evidence=f"images made for a naturally trained model break {percent(broken, n)} beside the claimed attack",
            figures={"broken": broken / n},
        )

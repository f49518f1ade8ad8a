"""Adversarial images of other models."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from srat.attacks import input_gradient
from srat.audit.base import Check, Finding, Subject, judged
from srat.audit.searching import Images, Task, broken_along
from srat.core.words import percent
from srat.evaluation.serving import lent_exactly, loss_on


@dataclass(frozen=True, kw_only=True)
class Transfer(Check, name="transfer"):
    """Gradients that mislead: then images made for undefended models break what the model's own attack does not."""

    question: ClassVar[str] = "Do adversarial images of naturally trained models break no more than its own?"
    needs: ClassVar[frozenset[str]] = frozenset({"sources"})
    warn: float = 0.02
    """Share of images that they break beside the claimed attack, …"""
    fail: float = 0.05
    """… above which the claimed attack was misled."""

    def examine(self, subject: Subject) -> Finding | None:
        """Attack each of the other models at what the claimed attack has left, and show every step to this one."""
        if not subject.sources:
            return None
        n, broken = subject.n, torch.zeros(len(subject.unbroken), dtype=torch.bool, device=subject.device)
        for number, source in enumerate(subject.sources):
            with lent_exactly(source) as lent:

                def theirs(task: Task, points: Images, lent: torch.nn.Module = lent) -> Images:
                    return input_gradient(loss_on(lent, task.labels), points)

                broken |= broken_along(subject, theirs, purpose=f"{self.name}/{number}")
        count = int(broken.sum())
        return Finding(
            verdict=judged(count, n, warn=self.warn, fail=self.fail),
            evidence=f"images made for naturally trained models break {percent(count, n)} beside the claimed attack",
            figures={"broken": count / n},
        )

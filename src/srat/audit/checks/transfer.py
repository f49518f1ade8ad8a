"""Adversarial images of other models."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from srat.attacks import input_gradient
from srat.audit.base import Finding, FurtherAttack, Subject
from srat.audit.searching import Images, Task, broken_along
from srat.evaluation.serving import lent_exactly, loss_on


@dataclass(frozen=True, kw_only=True)
class Transfer(FurtherAttack, name="transfer"):
    """Gradients that mislead: then adversarial images from undefended models break what the claimed attack does not."""

    question: ClassVar[str] = "Do adversarial images of naturally trained models break no more than its own?"
    needs: ClassVar[frozenset[str]] = frozenset({"sources"})

    def examine(self, subject: Subject) -> Finding | None:
        """Attack each of the other models at what the claimed attack has left, and show every step to this one."""
        if not subject.sources:
            return None
        broken = torch.zeros(len(subject.unbroken), dtype=torch.bool, device=subject.device)
        for number, source in enumerate(subject.sources):
            with lent_exactly(source) as lent:

                def theirs(task: Task, points: Images, lent: torch.nn.Module = lent) -> Images:
                    return input_gradient(loss_on(lent, task.labels), points)

                broken |= broken_along(subject, theirs, purpose=f"{self.name}/{number}")
        return self.found(subject, int(broken.sum()), "adversarial images from naturally trained models")

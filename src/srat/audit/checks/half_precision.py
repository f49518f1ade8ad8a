"""Half precision."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from srat.audit.base import BATCH, Check, Finding, Subject, judged
from srat.losses import cross_entropy
from srat.models import attacked, logits_of
from srat.random import generator


@dataclass(frozen=True, kw_only=True)
class HalfPrecision(Check, name="half-precision"):
    """A model that computes in half precision, in which small gradients are none; or one that rounding protects."""

    question: ClassVar[str] = "Is the model served in full precision, and equally accurate in half?"
    warn: float = 0.01
    """Share of images by which accuracy in bfloat16 may differ, clean or attacked, …"""
    fail: float = 0.05
    """… above which rounding does the work."""

    def examine(self, subject: Subject) -> Finding:
        """Look whether logits are numbers of half precision, and ask the model in bfloat16, clean and attacked."""
        images, labels = subject.unit(torch.arange(subject.n)), subject.images.labels
        if rounded := self._rounded(subject.logits(images)):
            said = f"every logit is a number of {rounded}: computed in half precision, where small gradients are none"
            return Finding(verdict="fail", evidence=said)
        right = torch.zeros(2, 2)
        with attacked(subject.model) as served:
            for number, (batch, label) in enumerate(
                zip(torch.split(images, BATCH), torch.split(labels, BATCH), strict=True)
            ):
                rng = generator(subject.seed, "audit/half-precision", step=number, device=batch.device)

                def loss_at(x: torch.Tensor, label: torch.Tensor = label) -> torch.Tensor:
                    return cross_entropy(logits_of(served(x)).float(), label)

                last = subject.threat.perturb(loss_at, batch, generator=rng)
                for row, points in enumerate((batch, last)):
                    for column, half in enumerate((False, True)):
                        with torch.no_grad(), torch.autocast(batch.device.type, torch.bfloat16, enabled=half):
                            right[row, column] += (logits_of(served(points)).argmax(dim=1) == label).sum().cpu()
        changes = (right[:, 1] - right[:, 0]).tolist()
        largest = int(max(abs(change) for change in changes))
        return Finding(
            verdict=judged(largest, subject.n, warn=self.warn, fail=self.fail),
            evidence=f"in bfloat16 the accuracy changes by {100 * changes[0] / subject.n:+.1f} points clean, "
            f"{100 * changes[1] / subject.n:+.1f} attacked",
            figures={"change_clean": changes[0] / subject.n, "change_attacked": changes[1] / subject.n},
        )

    @staticmethod
    def _rounded(logits: torch.Tensor) -> str:
        """Return the half precision that all logits are numbers of; nothing if there is none."""
        for name, kind in (("float16", torch.float16), ("bfloat16", torch.bfloat16)):
            if bool((logits.to(kind).float() == logits).all()):
                return name
        return ""

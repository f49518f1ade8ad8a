"""Another loss, and logits of another scale."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from srat.audit.base import Check, Finding, Remade, Subject, judged
from srat.core.words import percent


@dataclass(frozen=True, kw_only=True)
class LossAndScale(Check, name="loss-and-scale"):
    """Logits so large that cross-entropy has no gradient in floating point, or so small that it has but one."""

    question: ClassVar[str] = "Do the margin loss, and logits of other scales, leave as much as the claimed attack?"
    warn: float = 0.01
    """Share of images that they break and the claimed attack does not, …"""
    fail: float = 0.05
    """… above which the claimed accuracy is an accident of its loss."""

    def examine(self, subject: Subject) -> Finding:
        """Attack the margin, and cross-entropy at the scales 1/s, 6/s, s and 10 s, s the logits' median lead."""
        threat, n = subject.threat, subject.n
        lead = subject.logits.topk(2, dim=1).values.nan_to_num()
        s = max(float((lead[:, 0] - lead[:, 1]).median()), 1e-6)
        scales = {f"logits × {scale:.3g}": scale for scale in (1 / s, 6 / s, s, 10 * s)}
        found = {"margin": subject.on_margin}
        for name, scale in scales.items():
            found[name] = subject.outcome(threat, model=Remade(subject.model, partial(_times, scale)))
        correct = {name: int(each.survived.sum()) for name, each in found.items()}
        all_of_them = torch.stack([each.survived for each in found.values()]).all(dim=0)
        lost = int((subject.base.survived & ~all_of_them).sum())
        return Finding(
            verdict=judged(lost, n, warn=self.warn, fail=self.fail),
            evidence=f"claimed attack {percent(len(subject.standing), n)}, "
            + ", ".join(f"{name} {percent(count, n)}" for name, count in correct.items())
            + f"; together they break {percent(lost, n)} more",
            figures={"logit_scale": s, "broken": lost / n}
            | {name.replace("logits × ", "scale_"): count / n for name, count in correct.items()},
        )


def _times(scale: float, logits: Tensor) -> Tensor:
    return logits * scale

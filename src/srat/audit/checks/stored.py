"""Images as files hold them."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from srat.audit.base import SEVERITY, Check, Finding, Subject, judged
from srat.audit.searching import Images, Task, broken_along, by_gradient
from srat.core.keyed_random import generator
from srat.core.words import percent
from srat.evaluation.serving import lent_exactly
from srat.models import logits_at

LEVELS = 255
"""Steps of grey that a file tells apart."""
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class Stored(Check, name="stored"):
    """A model that tells images of files from what attacks make of them, by pixels between the levels of a file."""

    question: ClassVar[str] = "Is the model as robust to adversarial images that a file can hold?"
    warn: float = 0.02
    """Share of images that they break beside the claimed attack, or that rounding to bytes gives another class, …"""
    fail: float = 0.05
    """… above which the claimed attack was kept from what is served."""

    def examine(self, subject: Subject) -> Finding:
        """Attack on the levels what the claimed attack has left; round what it found, and move it off the levels."""
        n = subject.n
        broken = int(broken_along(subject, by_gradient, on_levels, purpose=self.name).sum())
        turned = self._turned(subject)
        verdicts = [judged(count, n, warn=self.warn, fail=self.fail) for count in (broken, turned)]
        return Finding(
            verdict=max(verdicts, key=SEVERITY.__getitem__),
            evidence=f"images on the {LEVELS + 1} levels of a file break {percent(broken, n)} beside the claimed "
            f"attack, and rounding gives {percent(turned, n)} of the attacked images another class",
            figures={"broken": broken / n, "turned": turned / n},
        )

    def _turned(self, subject: Subject) -> int:
        """Return how many attacked images rounding gives another class, less those that as small a change does."""
        turned = 0
        with torch.no_grad(), lent_exactly(subject.model) as lent:
            for number, (points, (images, labels)) in enumerate(
                zip(subject.attacked, subject.batches(subject.every), strict=True)
            ):
                rng = generator(subject.seed, "audit/stored/turned", step=number, device=subject.device)
                rounded = on_levels(Task(lent, images, labels, rng), points)
                said, on, off = (
                    logits_at(lent, each).argmax(dim=1) for each in (points, rounded, 2 * points - rounded)
                )
                turned += int((on != said).sum()) - int((off != said).sum())
        return max(0, turned)


def on_levels(task: Task, points: Images) -> Images:
    """Return points on the levels of a file, the nearest that are no further from images on levels than they are."""
    level, own = (LEVELS * points).round(), (LEVELS * task.images).round()
    further = (level / LEVELS - task.images).abs() > (points - task.images).abs() + _ROUNDING
    return (level - torch.where(further, (level - own).sign(), 0)) / LEVELS

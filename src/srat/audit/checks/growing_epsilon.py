"""Larger budgets."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

from srat.attacks import PGD
from srat.audit.base import Check, Finding, Subject, judged
from srat.core.words import percent
from srat.statistics.intervals import wilson

HALF_RANGE = 128 / 255
"""With this much for each pixel every image can be made grey."""


@dataclass(frozen=True, kw_only=True)
class GrowingEpsilon(Check, name="growing-epsilon"):
    """An attack that cannot find what is surely there: where all images can be made alike, no model can be right."""

    question: ClassVar[str] = "Does the accuracy fall with ε, down to chance where every image can be made grey?"
    steps: int = 20
    """Of each attack, at the least."""
    warn: float = 0.01
    """Share of images by which the accuracy may rise from one ε to the next, …"""
    fail: float = 0.03
    """… and above which that is no accident."""

    def examine(self, subject: Subject) -> Finding:
        """Attack with ε doubled again and again, in steps of ε / 8."""
        n, budgets = subject.n, self._budgets(subject)
        steps = max(subject.threat.steps, self.steps)
        correct = [
            int(subject.outcome(replace(subject.threat, epsilon=each, step_size=each / 8, steps=steps)).survived.sum())
            for each in budgets
        ]
        rise = max((later - earlier for earlier, later in pairwise(correct)), default=0)
        chance = max(subject.images.counts) / n
        rises = judged(max(0, rise), n, warn=self.warn, fail=self.fail)
        above = wilson(correct[-1], n).low > chance
        said = ", ".join(percent(count, n) for count in correct)
        return Finding(
            verdict="fail" if above else rises,
            evidence=f"ε {', '.join(f'{epsilon:.3g}' for epsilon in budgets)}: {said} (chance {percent(chance)})",
            figures={f"epsilon_{epsilon:.4g}": count / n for epsilon, count in zip(budgets, correct, strict=True)},
        )

    def _budgets(self, subject: Subject) -> list[float]:
        """Return the claimed ε, doubled until it makes every image grey."""
        largest = _largest(subject.threat, subject.images.images.shape[1:].numel())
        doublings = math.ceil(math.log2(largest / subject.threat.epsilon))
        return [subject.threat.epsilon * 2**k for k in range(doublings)] + [largest]


def _largest(threat: PGD, numbers: int) -> float:
    """Return the ε that reaches grey from every image of so many numbers; not less than the claimed one."""
    grey = HALF_RANGE if threat.norm == "linf" else HALF_RANGE * math.sqrt(numbers)
    return max(grey, threat.epsilon)

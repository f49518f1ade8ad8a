"""More steps, smaller ones, and more starts."""

from dataclasses import dataclass
from typing import ClassVar

from srat.audit.base import SEVERITY, Check, Finding, Subject, judged, stronger
from srat.core.words import percent


@dataclass(frozen=True, kw_only=True)
class Effort(Check, name="effort"):
    """An attack that has not converged, or that more effort makes weaker, as it does where gradients are noise."""

    question: ClassVar[str] = "Do more steps and starts leave the accuracy as it is, and never raise it?"
    times: int = 5
    """Steps, and starts, are multiplied by this."""
    warn: float = 0.02
    """Share of images that more effort alone breaks, as it does a few of any model, …"""
    fail: float = 0.05
    """… above which it is not the attack that it seems."""

    def examine(self, subject: Subject) -> Finding:
        """Attack with five times the steps of a quarter the size, and from five times the starts."""
        threat, n = subject.threat, subject.n
        more = stronger(threat, steps=self.times, alpha=threat.step_size / 4)
        more_steps = subject.outcome(more).survived
        helped = int(more_steps.sum()) - len(subject.standing)
        by_steps, by_starts, said = int((subject.base.survived & ~more_steps).sum()), 0, ""
        if threat.random_start:
            by_starts = subject.broken_more(stronger(threat, restarts=self.times))
            said = f", {self.times} times the starts {percent(by_starts, n)}"
        of_steps, of_starts, of_help = (
            judged(max(0, count), n, warn=self.warn, fail=self.fail) for count in (by_steps, by_starts, helped)
        )
        return Finding(
            verdict=max(of_steps, of_starts, of_help, key=SEVERITY.__getitem__),
            evidence=f"{more.steps} smaller steps break {percent(by_steps, n)} more{said}; with these "
            f"steps the accuracy changes by {100 * helped / n:+.1f} points",
            figures={"broken_by_steps": by_steps / n, "broken_by_starts": by_starts / n, "change": helped / n},
        )

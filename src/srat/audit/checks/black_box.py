"""An attack that asks for no gradient."""

from dataclasses import dataclass
from typing import ClassVar

from srat.attacks.square import Square
from srat.audit.base import Check, Finding, Subject, judged
from srat.core.words import percent


@dataclass(frozen=True, kw_only=True)
class BlackBox(Check, name="black-box"):
    """Gradients that mislead: then an attack without them finds more than one with them."""

    question: ClassVar[str] = "Does an attack that sees only the logits (Square) find no more than the claimed one?"
    queries: int = 1000
    """Of the model, for each image."""
    warn: float = 0.01
    """Share of images that it breaks beside the claimed attack, …"""
    fail: float = 0.05
    """… above which the claimed attack was misled."""

    def examine(self, subject: Subject) -> Finding:
        """Attack what the claimed attack has left."""
        threat, n = subject.threat, subject.n
        broken = subject.broken_more(Square(norm=threat.norm, epsilon=threat.epsilon, queries=self.queries))
        return Finding(
            verdict=judged(broken, n, warn=self.warn, fail=self.fail),
            evidence=f"{self.queries:,} queries break {percent(broken, n)} beside the claimed attack",
            figures={"broken": broken / n},
        )

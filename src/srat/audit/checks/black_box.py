"""An attack that asks for no gradient."""

from dataclasses import dataclass
from typing import ClassVar

from srat.attacks.square import Square
from srat.audit.base import Finding, FurtherAttack, Subject


@dataclass(frozen=True, kw_only=True)
class BlackBox(FurtherAttack, name="black-box"):
    """Gradients that mislead: then an attack without them finds more than one with them."""

    question: ClassVar[str] = "Does an attack that sees only the logits (Square) find no more than the claimed one?"
    queries: int = 1000
    """Of the model, for each image."""
    warn: float = 0.01
    """Share of images that it breaks and the claimed attack does not, …"""

    def examine(self, subject: Subject) -> Finding:
        """Attack what the claimed attack has left."""
        threat = subject.threat
        broken = subject.broken_more(Square(norm=threat.norm, epsilon=threat.epsilon, queries=self.queries))
        return self.found(subject, broken, f"{self.queries:,} queries")

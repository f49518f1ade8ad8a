"""Logits that are not numbers."""

from dataclasses import dataclass
from typing import ClassVar

from srat.audit.base import Check, Finding, Subject
from srat.core.words import percent


@dataclass(frozen=True, kw_only=True)
class Finite(Check, name="finite"):
    """A model that breaks down: to code that counts what is wrong, NaN may be right."""

    question: ClassVar[str] = "Are all logits numbers?"

    def examine(self, subject: Subject) -> Finding:
        """Look at the logits of the untouched images."""
        broken = int((~subject.logits.isfinite()).any(dim=1).sum())
        return Finding(
            verdict="fail" if broken else "pass",
            evidence=f"{percent(broken, subject.n)} of the images have logits that are NaN or infinite",
            figures={"share": broken / subject.n},
        )

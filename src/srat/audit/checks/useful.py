"""The untouched images."""

from dataclasses import dataclass
from typing import ClassVar

from srat.audit.base import Check, Finding, Subject
from srat.core.words import percent
from srat.statistics.intervals import wilson


@dataclass(frozen=True, kw_only=True)
class Useful(Check, name="useful"):
    """A model that always says the same: no attack changes that, and no other check minds."""

    question: ClassVar[str] = "Is the model better than chance on untouched images?"

    def examine(self, subject: Subject) -> Finding:
        """Compare with the share of the largest class."""
        right, n = len(subject.right), subject.n
        chance = max(subject.images.counts) / n
        return Finding(
            verdict="pass" if wilson(right, n).low > chance else "warn",
            evidence=f"{percent(right, n)} of the untouched images are right (chance {percent(chance)})",
            figures={"clean": right / n, "chance": chance},
        )

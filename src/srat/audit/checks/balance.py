"""The classes of the test set."""

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from srat.audit.base import Check, Finding, Subject


@dataclass(frozen=True, kw_only=True)
class Balance(Check, name="balance"):
    """An imbalanced test set: the overall accuracy is that of the large classes."""

    question: ClassVar[str] = "Are the classes of the test set equally large?"
    ratio: float = 1.5
    """Of the largest class to the smallest, up to which they count as equal."""

    @override
    def examine(self, subject: Subject) -> Finding | None:
        if subject.test is None:
            return None
        counts = subject.test.counts
        ratio = max(counts) / max(min(counts), 1)
        equal = min(counts) > 0 and ratio <= self.ratio
        return Finding(
            verdict="pass" if equal else "warn",
            evidence=f"{min(counts):,} to {max(counts):,} test images a class"
            + ("" if equal else ": quote the mean over the classes, not the overall accuracy"),
            figures={"smallest": min(counts), "largest": max(counts)},
        )

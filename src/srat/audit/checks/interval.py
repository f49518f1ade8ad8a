"""What the numbers can tell apart."""

import math
from dataclasses import dataclass
from typing import ClassVar

from srat.audit.base import Check, Finding, Subject
from srat.evaluation.record import CLEAN, summary


@dataclass(frozen=True, kw_only=True)
class Interval(Check, name="interval"):
    """Too few test images for what is said of them."""

    question: ClassVar[str] = "Are the intervals of each group narrow enough for differences of a few points?"
    needs: ClassVar[frozenset[str]] = frozenset({"evaluation"})
    widest: float = 0.05
    """Widest 95 % interval, from end to end, of a group."""

    def examine(self, subject: Subject) -> Finding | None:
        """Measure the intervals of the published numbers."""
        if subject.evaluation is None or not subject.evaluation.results:
            return None
        groups, results = subject.evaluation.groups, subject.evaluation.results
        claimed = subject.threat.label
        names = [claimed] if claimed in results else [name for name in results if name != CLEAN]
        widths = {
            f"{group}, {name}": accuracy.high - accuracy.low
            for name in names
            for group, accuracy in summary(results[name].counts, groups).items()
            if group != "worst_class" and not math.isnan(accuracy.accuracy)
        }
        if not widths:
            return None
        where = max(widths, key=widths.__getitem__)
        width = widths[where]
        return Finding(
            verdict="pass" if width <= self.widest else "warn",
            evidence=f"the widest interval of a group has {100 * width:.1f} points ({where})"
            + ("" if width <= self.widest else ": these images cannot show smaller differences"),
            figures={"widest": width},
        )

"""What a run comes to, in one sentence."""

from dataclasses import dataclass
from typing import Literal

from srat.evaluation import Accuracy
from srat.report.budget import budget_text
from srat.report.html.record import WORST_CASE, RunRecord

Kind = Literal["good", "partly", "bad"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a run comes to."""

    kind: Kind
    head: str
    """In a few words."""
    sentence: str
    """With the numbers."""


def verdict_of(record: RunRecord) -> Verdict:
    """Return what a run comes to.

    Robustness that the audit refutes is none; nor is accuracy under attack that always saying the same class may have.
    On rare classes it falls short if all of their interval lies below half of what the common classes have at the
    least; it is there if all of the interval lies above guessing; else the test is too small to tell.
    """
    counts, groups = record.robust.counts, record.evaluation.groups
    overall, well, under = counts.accuracy(), counts.accuracy(groups.well), counts.accuracy(groups.under)
    worst = counts.worst_class()
    sentence = (
        f"Under {attack_text(record)}, {percent(overall)} of all test images are right: {percent(well)} of the common "
        f"classes', {percent(under)} of the rare ones'; the weakest class is "
        f"{record.evaluation.class_names[worst]} with {percent(counts.accuracy([worst]))}."
    )
    if record.audit is not None and record.audit.verdict == "fail":
        failed = ", ".join(name for name, verdict in record.audit.verdicts.items() if verdict == "fail")
        return Verdict(kind="bad", head="Its robustness is not real", sentence=f"{sentence} The audit fails: {failed}.")
    if overall.low <= max(counts.total) / sum(counts.total):
        why = "Always saying the same class may do as well."
        return Verdict(kind="bad", head="Not robust", sentence=f"{sentence} {why}")
    if under.high < well.low / 2:
        return Verdict(kind="partly", head="Robust on common classes, not on rare ones", sentence=sentence)
    if not under.low > 1 / len(counts.total):
        why = "The test has too few images of the rare classes to tell more."
        return Verdict(kind="partly", head="Robust on common classes", sentence=f"{sentence} {why}")
    return Verdict(kind="good", head="Robust, on rare classes too", sentence=sentence)


def attack_text(record: RunRecord) -> str:
    """Return the attack's name, with its budget."""
    threat = record.config.evaluation
    name = "the worst of several attacks" if record.threat == WORST_CASE else record.threat.upper()
    return f"{name} ({budget_text(threat)})"


def percent(accuracy: Accuracy) -> str:
    """Return an accuracy as "61.2 %"."""
    return "–" if accuracy.accuracy != accuracy.accuracy else f"{100 * accuracy.accuracy:.1f} %"

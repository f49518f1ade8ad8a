"""What a run comes to, in one sentence."""

from dataclasses import dataclass
from typing import Literal

from srat.core.words import percent, percent_interval
from srat.evaluation.record import WORST
from srat.report.html.record import RunRecord
from srat.report.wording import budget_said, budget_text, told_from

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
    On rare classes, or the last of the groups that were asked for, it falls short if all of their interval lies below
    half of what the common classes, or the first group, have at the least; it is there if all of the interval lies
    above guessing; else the test is too small to tell. If the worst class is not above guessing that is said, and which
    it is where it can be told.
    """
    counts, names = record.robust.counts, record.evaluation.class_names
    overall, guess = counts.accuracy(), max(counts.total) / sum(counts.total)
    worst = counts.worst()
    weakest = worst.accuracy
    common, rare = record.extremes
    sentence = f"Under {attack_text(record)}, {percent(overall.accuracy)} of all test images are right"
    if record.rare:
        well, under = counts.accuracy(record.common), counts.accuracy(record.rare)
        sentence += (
            f": {percent(well.accuracy)} of the {common} classes', {percent(under.accuracy)} of the {rare} ones'"
        )
    sentence += f"; the weakest class is {names[worst.number]} with {percent_interval(*weakest)} %"
    sentence += f" ({told_from(worst, names)})." if worst.others else "."
    if record.audit is not None and record.audit.verdict == "fail":
        failed = ", ".join(name for name, verdict in record.audit.verdicts.items() if verdict == "fail")
        return Verdict(kind="bad", head="Its robustness is not real", sentence=f"{sentence} The audit fails: {failed}.")
    if overall.low <= guess:
        why = "Always predicting the same class might do as well."
        return Verdict(kind="bad", head="Not robust", sentence=f"{sentence} {why}")
    if record.rare and under.high < well.low / 2:
        return Verdict(kind="partly", head=f"Robust on {common} classes, not on {rare} ones", sentence=sentence)
    if record.rare and not under.low > 1 / len(names):
        why = f"The test has too few images of the {rare} classes to say more."
        return Verdict(kind="partly", head=f"Robust on {common} classes", sentence=f"{sentence} {why}")
    if not weakest.low > 1 / len(names):
        surely = "" if weakest.high < 1 / len(names) else "surely "
        where = "every class" if worst.others else names[worst.number]
        return Verdict(kind="partly", head=f"Robust, but not {surely}on {where}", sentence=sentence)
    return Verdict(kind="good", head=f"Robust, on {rare} classes too" if record.rare else "Robust", sentence=sentence)


def attack_text(record: RunRecord) -> str:
    """Return the attack's name, with its budget."""
    threat, of = record.threat, record.robust.attack
    if threat == WORST:
        return f"the worst of several attacks ({budget_text(record.config.evaluation)})"
    said = budget_said(str(of.get("norm", "linf")), of["epsilon"]) if isinstance(of.get("epsilon"), float) else ""
    return threat.upper() + (f" ({said})" if said else "")

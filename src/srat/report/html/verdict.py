"""What a run comes to, in one sentence: the headline's rules, the first that applies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

from srat.core.words import NAMED, counted, percent, percent_interval
from srat.evaluation.record import WORST
from srat.report.html.record import RunRecord
from srat.report.wording import budget_said, budget_text, told_from
from srat.statistics.intervals import Accuracy
from srat.statistics.worst import Worst

Kind = Literal["good", "partly", "bad"]
LEVEL = 0.5
"""Accuracy under attack from which on a model is called robust; below it, the headline is the number."""
LEAKS = ("disjoint",)
"""Checks of the audit that are about the test images, not about the model."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a run comes to."""

    kind: Kind
    head: str
    """In a few words."""
    sentence: str
    """With the numbers."""


@dataclass(frozen=True)
class _Facts:
    """What the rules ask of a record."""

    record: RunRecord

    @cached_property
    def overall(self) -> Accuracy:
        return self.record.robust.counts.accuracy()

    @cached_property
    def common(self) -> Accuracy:
        return self.record.robust.counts.accuracy(self.record.common)

    @cached_property
    def rare(self) -> Accuracy | None:
        """Of the rare classes; None where there is but one group."""
        return self.record.robust.counts.accuracy(self.record.rare) if self.record.rare else None

    @cached_property
    def worst(self) -> Worst:
        return self.record.robust.counts.worst()

    @cached_property
    def chance(self) -> float:
        """The accuracy of guessing, on any class."""
        return 1 / len(self.record.evaluation.class_names)

    @cached_property
    def guess(self) -> float:
        """The accuracy of always saying the most frequent class of the test."""
        total = self.record.robust.counts.total
        return max(total) / sum(total)

    @cached_property
    def lost(self) -> list[int]:
        """The classes, the worst first, whose accuracy is not above guessing."""
        return self._classes(lambda accuracy: accuracy.accuracy <= self.chance)

    @cached_property
    def unsure(self) -> list[int]:
        """The other classes, the worst first, whose accuracy may be that of guessing."""
        return self._classes(lambda accuracy: accuracy.low <= self.chance < accuracy.accuracy)

    @cached_property
    def failed(self) -> list[str]:
        """The checks that the audit fails."""
        verdicts = {} if self.record.audit is None else self.record.audit.verdicts
        return [name for name, verdict in verdicts.items() if verdict == "fail"]

    def named(self, classes: Sequence[int]) -> str:
        """Return some classes by name, or, where they are many, how many they are."""
        names = self.record.evaluation.class_names
        if len(classes) > NAMED:
            return f"{len(classes)} of {counted(len(names), 'class', 'classes')}"
        *first, last = (names[c] for c in classes)
        return f"{', '.join(first)} and {last}" if first else last

    def standing(self, accuracy: Accuracy, where: str = "") -> str:
        """Return the adjective where it is deserved, else the number.

        Args:
            accuracy: under attack.
            where: on which classes, such as "common classes".
        """
        on = f" on {where}" if where else ""
        return f"Robust{on}" if accuracy.accuracy >= LEVEL else f"{percent(accuracy.accuracy)} right under attack{on}"

    def _classes(self, chosen: Callable[[Accuracy], bool]) -> list[int]:
        counts = self.record.robust.counts
        each = {c: counts.accuracy([c]) for c in range(len(counts.total))}  # NaN without images, and so not chosen
        return sorted((c for c in each if chosen(each[c])), key=lambda c: (each[c].accuracy, c))


class _Rule(NamedTuple):
    kind: Kind
    applies: Callable[[_Facts], bool]
    head: Callable[[_Facts], str]
    why: Callable[[_Facts], str] = lambda _: ""


def _refuted(facts: _Facts) -> bool:
    return bool(set(facts.failed) - set(LEAKS))


def _failures(facts: _Facts) -> str:
    return f"The audit fails: {', '.join(facts.failed)}."


def _behind(facts: _Facts) -> bool:
    return facts.rare is not None and (facts.rare.high < facts.common.low / 2 or facts.rare.high <= facts.chance)


def _head_behind(facts: _Facts) -> str:
    common, rare = facts.record.extremes
    lost = [c for c in facts.lost if c in facts.record.common]
    if facts.common.accuracy >= LEVEL and not lost:
        return f"Robust on {common} classes, not on {rare} ones"
    parts = ((facts.common, common), (facts.rare or facts.common, rare))
    return "Right under attack: " + ", ".join(f"{percent(each.accuracy)} on {name} classes" for each, name in parts)


def _head_untold(facts: _Facts) -> str:
    lost = [c for c in facts.lost if c in facts.record.common]
    standing = facts.standing(facts.common, f"{facts.record.extremes[0]} classes")
    return f"{standing}, but not on {facts.named(lost)}" if lost else standing


def _head_well(facts: _Facts) -> str:
    if facts.rare is None:
        return facts.standing(facts.overall)
    rare = facts.record.extremes[1]
    if facts.overall.accuracy >= LEVEL:
        return f"Robust, on {rare} classes too"
    return f"{facts.standing(facts.overall)}, {percent(facts.rare.accuracy)} on {rare} classes"


RULES: Sequence[_Rule] = (
    _Rule(
        "bad",
        lambda facts: _refuted(facts) and any(name in LEAKS for name in facts.failed),
        lambda _: "Its robustness is not real, and the test is not independent",
        _failures,
    ),
    _Rule("bad", _refuted, lambda _: "Its robustness is not real", _failures),
    _Rule(
        "bad",
        lambda facts: bool(facts.failed),
        lambda _: "The test is not independent",
        lambda facts: f"{_failures(facts)} Accuracy on images that the training has seen says little of new ones.",
    ),
    _Rule(
        "bad",
        lambda facts: facts.overall.low <= facts.guess,
        lambda _: "Not robust",
        lambda _: "Always predicting the same class might do as well.",
    ),
    _Rule("partly", _behind, _head_behind),
    _Rule(
        "partly",
        lambda facts: facts.rare is not None and not facts.rare.low > facts.chance,
        _head_untold,
        lambda facts: f"The test has too few images of the {facts.record.extremes[1]} classes to say more.",
    ),
    _Rule(
        "partly",
        lambda facts: bool(facts.lost),
        lambda facts: f"{facts.standing(facts.overall)}, but not on {facts.named(facts.lost)}",
    ),
    _Rule(
        "partly",
        lambda facts: bool(facts.unsure),
        lambda facts: f"{facts.standing(facts.overall)}, but not surely on {facts.named(facts.unsure)}",
    ),
    _Rule("partly", lambda facts: facts.overall.accuracy < LEVEL, _head_well),
    _Rule("good", lambda _: True, _head_well),
)
"""In this order: what the audit refutes; what guessing might do as well; rare classes (or the last of the groups that
were asked for) far below the common ones, all of their interval below half of what those have at the least, or
below guessing; rare
classes of which too few images are there; classes at chance, or perhaps; an accuracy below `LEVEL`; all is well."""


def verdict_of(record: RunRecord, *, beside_audited: bool = False) -> Verdict:
    """Return what a run comes to, by the first of `RULES` that applies.

    Args:
        record: the run.
        beside_audited: whether it is shown beside an audited run: it says then if it is not audited itself, and does
            not look better for it.
    """
    facts = _Facts(record)
    rule = next(rule for rule in RULES if rule.applies(facts))
    sentence = f"{_numbers(facts)} {rule.why(facts)}".strip()
    verdict = Verdict(kind=rule.kind, head=rule.head(facts), sentence=sentence)
    if record.audit is not None or not beside_audited:
        return verdict
    return replace(verdict, kind="bad" if verdict.kind == "bad" else "partly", head=f"{verdict.head} (not audited)")


def _numbers(facts: _Facts) -> str:
    record, worst, names = facts.record, facts.worst, facts.record.evaluation.class_names
    said = f"Under {attack_text(record)}, {percent(facts.overall.accuracy)} of all test images are right"
    if facts.rare is not None:
        common, rare = record.extremes
        said += f": {percent(facts.common.accuracy)} of the {common} classes', "
        said += f"{percent(facts.rare.accuracy)} of the {rare} ones'"
    said += f"; the weakest class is {names[worst.number]} with {percent_interval(*worst.accuracy)} %"
    return f"{said} ({told_from(worst, names)})." if worst.others else f"{said}."


def attack_text(record: RunRecord) -> str:
    """Return the attack's name, with its budget."""
    threat, of = record.threat, record.robust.attack
    if threat == WORST:
        return f"the worst of several attacks ({budget_text(record.config.evaluation)})"
    said = budget_said(str(of.get("norm", "linf")), of["epsilon"]) if isinstance(of.get("epsilon"), float) else ""
    return threat.upper() + (f" ({said})" if said else "")

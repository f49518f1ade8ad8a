"""The whole suite, made on one model."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from srat.audit.base import SEVERITY, Check, Finding, Subject, Verdict
from srat.core.errors import require, unknown
from srat.core.gradients import taking_gradients
from srat.core.members import import_members, members
from srat.core.structuring import read_structured

_LARGEST_FILE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A check, and what it found; None if it could not be made."""

    check: str
    question: str
    finding: Finding | None
    needs: frozenset[str] = frozenset()
    """What the check asks for beside model and images."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What all checks have found."""

    entries: tuple[Entry, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of all verdicts."""
        return max(self.verdicts.values(), key=SEVERITY.__getitem__, default="pass")

    @property
    def verdicts(self) -> Mapping[str, Verdict]:
        """The verdict of each check that was made."""
        return {entry.check: entry.finding.verdict for entry in self.entries if entry.finding}

    @classmethod
    def read(cls, path: Path) -> "Audit":
        """Return the audit that a file holds.

        Raises:
            UserError: if the file is not an audit.
        """
        file = read_structured(path, _File, limit=_LARGEST_FILE, what="audit", advice="remove it")
        return cls(entries=tuple(each.entry() for each in file.checks))

    def to_json(self, **facts: Any) -> str:
        """Return the contents of audit.json: the facts given, and each check with verdict, evidence and figures."""
        checks = [
            {"check": entry.check, "question": entry.question, **(_plain(entry.finding) if entry.finding else {})}
            for entry in self.entries
        ]
        return json.dumps({"verdict": self.verdict, **facts, "checks": checks}, indent=2, ensure_ascii=False) + "\n"


def _plain(finding: Finding) -> dict[str, Any]:
    # JSON has no NaN: NaN figures are null.
    figures = {name: value if math.isfinite(value) else None for name, value in finding.figures.items()}
    return {"verdict": finding.verdict, "evidence": finding.evidence, "figures": figures}


@dataclass(frozen=True, kw_only=True)
class _FileEntry:
    """An entry of audit.json; of a check that could not be made, the question alone."""

    check: str
    question: str
    verdict: Verdict | None = None
    evidence: str = ""
    figures: dict[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.verdict is None or bool(self.evidence), "a verdict without evidence")

    def entry(self) -> Entry:
        """Return the entry, with NaN for the figures that are null."""
        figures = {name: math.nan if value is None else value for name, value in self.figures.items()}
        made = self.verdict and Finding(verdict=self.verdict, evidence=self.evidence, figures=figures)
        return Entry(check=self.check, question=self.question, finding=made or None)


@dataclass(frozen=True, kw_only=True)
class _File:
    checks: tuple[_FileEntry, ...]


def chosen_checks(only: Sequence[str] = ()) -> list[Check]:
    """Return the checks of those names, or all, in alphabetical order.

    Args:
        only: names of checks; all checks if empty.

    Raises:
        UserError: if there is no check of a name.
    """
    import_members("srat.audit.checks")
    known = members(Check)
    for name in only:
        if name not in known:
            raise unknown("check", name, known)
    return [kind() for name, kind in known.items() if not only or name in only]


@taking_gradients
def audit(subject: Subject, only: Sequence[str] = (), told: Callable[[Entry], None] = lambda _: None) -> Audit:
    """Return what the checks find on a model; of one that answers at random, on its mean over several draws.

    Args:
        subject: the model, with all that is at hand of its data and its claims.
        only: the names of the checks to make; all by default.
        told: called with each check when it is done.

    Raises:
        UserError: if there is no check of a name.
    """
    entries, subject = [], subject.steadied()
    for check in chosen_checks(only):
        entries.append(
            Entry(check=check.name, question=check.question, needs=check.needs, finding=check.examine(subject))
        )
        told(entries[-1])
    return Audit(entries=tuple(entries))

"""What an audit has found, line by line."""

from rich.text import Text

from srat.audit.suite import Audit, Entry
from srat.core.errors import printable

_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red", "not run": "dim"}


def audit_line(entry: Entry, *, width: int) -> Text:
    """Return verdict, name and evidence of a check.

    Args:
        entry: the check, and what it found.
        width: of the longest check's name.
    """
    verdict = entry.finding.verdict if entry.finding else "not run"
    evidence = (
        entry.finding.evidence if entry.finding else f"missing: {', '.join(sorted(entry.needs)) or 'the test set'}"
    )
    line = Text(f"{verdict:<8}  ", style=_STYLES[verdict])
    line.append(f"{entry.check:<{width}}  ", style="bold").append(printable(evidence), style="default not bold")
    return line


def conclusion(audit: Audit) -> str:
    """Return what follows from all checks, in a sentence."""
    by_verdict = {
        verdict: [name for name, each in audit.verdicts.items() if each == verdict] for verdict in ("warn", "fail")
    }
    missing = [entry.check for entry in audit.entries if entry.finding is None]
    not_made = f" Not run: {', '.join(missing)}." if missing else ""
    if by_verdict["fail"]:
        failed = ", ".join(by_verdict["fail"])
        return f"Do not trust the claimed robustness: {failed}.{not_made}"
    nothing = "No check contradicts the claimed robustness"
    if by_verdict["warn"]:
        return f"{nothing}; warnings: {', '.join(by_verdict['warn'])}.{not_made}"
    return f"{nothing}.{not_made}"

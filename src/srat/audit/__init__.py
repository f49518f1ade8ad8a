"""Is the robustness real? A suite of checks (a file each), each with a verdict and its evidence."""

from srat.audit.base import Check, Finding, Subject, Verdict
from srat.audit.suite import Audit, Entry, audit, chosen_checks

__all__ = ["Audit", "Check", "Entry", "Finding", "Subject", "Verdict", "audit", "chosen_checks"]

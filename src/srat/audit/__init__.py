"""Is the robustness real? A suite of checks (a file each), each with a verdict and its evidence."""

from srat.audit.audit import Audit, Entry, audit, checks, sample
from srat.audit.base import Check, Finding, Subject, Verdict

__all__ = ["Audit", "Check", "Entry", "Finding", "Subject", "Verdict", "audit", "checks", "sample"]

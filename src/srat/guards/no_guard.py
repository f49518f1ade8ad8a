"""No guard."""

from dataclasses import dataclass

from srat.guards.base import Guard


@dataclass(frozen=True, kw_only=True)
class NoGuard(Guard, name="none"):
    """Let a training be."""

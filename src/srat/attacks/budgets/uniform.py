"""One budget for all."""

from dataclasses import dataclass

from srat.attacks.budgets.base import Budget


@dataclass(frozen=True, kw_only=True)
class UniformBudget(Budget, name="uniform"):
    """The attack's own ε for every class."""

"""Budgets (a file each): how large the training attack's ball is, by class and epoch."""

from srat.attacks.budgets.base import Budget
from srat.attacks.budgets.uniform import UniformBudget
from srat.core.members import import_members

import_members(__name__)

__all__ = ["Budget", "UniformBudget"]

"""Budgets (a file each): how large the training attack's ball is, by class and epoch."""

from srat.attacks.budgets.base import Budget
from srat.attacks.budgets.cfa_budget import CFA, calibrated
from srat.attacks.budgets.class_wise_budget import ClassWise, class_wise
from srat.attacks.budgets.dafa_budget import DAFA
from srat.attacks.budgets.frl_budget import FRL, remargin
from srat.attacks.budgets.robustlt_budget import RobustLT, robustlt
from srat.attacks.budgets.uniform import UniformBudget
from srat.core.members import import_members

import_members(__name__)

__all__ = [
    "CFA",
    "DAFA",
    "FRL",
    "Budget",
    "ClassWise",
    "RobustLT",
    "UniformBudget",
    "calibrated",
    "class_wise",
    "remargin",
    "robustlt",
]

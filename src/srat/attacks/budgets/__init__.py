"""Budgets (a file each): how large the training attack's ball is, by class and epoch."""

from srat.attacks.budgets.base import Budget
from srat.attacks.budgets.cfa import CFA, calibrated
from srat.attacks.budgets.class_wise import ClassWise, class_wise
from srat.attacks.budgets.dafa import DAFA
from srat.attacks.budgets.frl import FRL, remargin
from srat.attacks.budgets.robustlt import RobustLT, robustlt
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

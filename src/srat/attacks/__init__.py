"""Attacks (a file each), and the projections that they share."""

from srat.attacks.base import Attack, IterativeAttack, LossAt, input_gradient, started
from srat.attacks.fgsm import FGSM
from srat.attacks.natural import Natural
from srat.attacks.pgd import PGD, pgd_step
from srat.attacks.projections import project_l2, project_linf
from srat.registry import import_members

import_members(__name__)

__all__ = [
    "FGSM",
    "PGD",
    "Attack",
    "IterativeAttack",
    "LossAt",
    "Natural",
    "input_gradient",
    "pgd_step",
    "project_l2",
    "project_linf",
    "started",
]

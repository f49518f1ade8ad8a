"""Attacks (a file each), and the projections that they share."""

from srat.attacks.base import Attack, LossAt, input_gradient
from srat.attacks.fgsm import FGSM
from srat.attacks.natural import Natural
from srat.attacks.pgd import PGD, pgd
from srat.attacks.projections import project_l2, project_linf
from srat.registry import import_members

import_members(__name__)

__all__ = ["FGSM", "PGD", "Attack", "LossAt", "Natural", "input_gradient", "pgd", "project_l2", "project_linf"]

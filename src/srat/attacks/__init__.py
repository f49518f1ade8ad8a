"""Attacks (a file each), and the projections that they share."""

from srat.attacks.base import Adversary, Attack, IterativeAttack, LossAt, input_gradient, started
from srat.attacks.doubts import tell_doubts
from srat.attacks.fgsm import FGSM
from srat.attacks.n_fgsm import NFGSM
from srat.attacks.natural import Natural
from srat.attacks.pgd import PGD, pgd_step
from srat.attacks.pgd_margin import PGDMargin, margin
from srat.attacks.projections import project_l2, project_linf, within
from srat.attacks.searches import Search
from srat.attacks.zero_grad import ZeroGrad, without_smallest
from srat.core.members import import_members

import_members(__name__)

AnyAttack = Attack | Search
"""Whatever a model can be evaluated under."""

__all__ = [
    "FGSM",
    "NFGSM",
    "PGD",
    "Adversary",
    "AnyAttack",
    "Attack",
    "IterativeAttack",
    "LossAt",
    "Natural",
    "PGDMargin",
    "Search",
    "ZeroGrad",
    "input_gradient",
    "margin",
    "pgd_step",
    "project_l2",
    "project_linf",
    "started",
    "tell_doubts",
    "within",
    "without_smallest",
]

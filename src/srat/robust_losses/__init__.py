"""Robust losses (a file each): what is compared with what, in the attack and in the objective."""

from srat.core.members import import_members
from srat.robust_losses.base import References, RobustLoss, TeacherWeights
from srat.robust_losses.calibrated_trades import CalibratedTRADES
from srat.robust_losses.consistency import Consistency
from srat.robust_losses.distillation import Distillation, teacher_divergence
from srat.robust_losses.divergence import kl_divergence
from srat.robust_losses.mart import MART, uncertain_divergence, wrong_class_loss
from srat.robust_losses.mixture import Mixture
from srat.robust_losses.standard import Standard
from srat.robust_losses.trades import TRADES

import_members(__name__)

__all__ = [
    "MART",
    "TRADES",
    "CalibratedTRADES",
    "Consistency",
    "Distillation",
    "Mixture",
    "References",
    "RobustLoss",
    "Standard",
    "TeacherWeights",
    "kl_divergence",
    "teacher_divergence",
    "uncertain_divergence",
    "wrong_class_loss",
]

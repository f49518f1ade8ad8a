"""Robust losses (a file each): what is compared with what, in the attack and in the objective."""

from srat.core.members import import_members
from srat.robust_losses.base import References, RobustLoss
from srat.robust_losses.standard import Standard

import_members(__name__)

__all__ = ["References", "RobustLoss", "Standard"]

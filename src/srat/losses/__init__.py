"""Prediction losses (a file each): logits and labels → one number per example."""

from srat.core.members import import_members
from srat.losses.base import Loss
from srat.losses.cross_entropy_loss import CrossEntropy, cross_entropy
from srat.losses.focal_loss import Focal, focal
from srat.losses.ldam_loss import LDAM, ldam, ldam_margins

import_members(__name__)

__all__ = ["LDAM", "CrossEntropy", "Focal", "Loss", "cross_entropy", "focal", "ldam", "ldam_margins"]

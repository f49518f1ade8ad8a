"""Prediction losses (a file each): logits and labels → one number per example."""

from srat.core.members import import_members
from srat.losses.balanced_softmax_loss import BalancedSoftmax, balanced_softmax
from srat.losses.base import Loss
from srat.losses.cdt_loss import CDT, cdt
from srat.losses.cross_entropy_loss import CrossEntropy, cross_entropy
from srat.losses.focal_loss import Focal, focal
from srat.losses.harl_loss import HARL, harl
from srat.losses.ldam_loss import LDAM, ldam, ldam_margins
from srat.losses.logit_adjustment_loss import LogitAdjustment, logit_adjustment
from srat.losses.robal_loss import RoBal, robal, robal_margins
from srat.losses.vector_scaling_loss import VectorScaling, vector_scaling

import_members(__name__)

__all__ = [
    "CDT",
    "HARL",
    "LDAM",
    "BalancedSoftmax",
    "CrossEntropy",
    "Focal",
    "LogitAdjustment",
    "Loss",
    "RoBal",
    "VectorScaling",
    "balanced_softmax",
    "cdt",
    "cross_entropy",
    "focal",
    "harl",
    "ldam",
    "ldam_margins",
    "logit_adjustment",
    "robal",
    "robal_margins",
    "vector_scaling",
]

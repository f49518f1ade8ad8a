"""Prediction losses (a file each): logits and labels → one number per example."""

from srat.losses.base import Loss
from srat.losses.cross_entropy import CrossEntropy, cross_entropy
from srat.losses.focal import Focal, focal
from srat.losses.ldam import LDAM, ldam, ldam_margins
from srat.registry import import_members

import_members(__name__)

__all__ = ["LDAM", "CrossEntropy", "Focal", "Loss", "cross_entropy", "focal", "ldam", "ldam_margins"]

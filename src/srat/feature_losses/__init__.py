"""Feature losses (a file each): features and labels → one number per anchor."""

from srat.core.members import import_members
from srat.feature_losses.base import FeatureLoss, FeatureTerm, Memory
from srat.feature_losses.no_feature_loss import NoFeatureLoss
from srat.feature_losses.prototype_separation_loss import PrototypeSeparation
from srat.feature_losses.queued_separation_loss import QueuedSeparation
from srat.feature_losses.separation_loss import Separation, has_positive, separation
from srat.feature_losses.tail_alignment_loss import TailAlignment, in_tail, tail_alignment

import_members(__name__)

__all__ = [
    "FeatureLoss",
    "FeatureTerm",
    "Memory",
    "NoFeatureLoss",
    "PrototypeSeparation",
    "QueuedSeparation",
    "Separation",
    "TailAlignment",
    "has_positive",
    "in_tail",
    "separation",
    "tail_alignment",
]

"""Feature losses (a file each): features and labels → one number per anchor."""

from srat.core.members import import_members
from srat.feature_losses.base import FeatureLoss, FeatureTerm, Memory
from srat.feature_losses.no_feature_loss import NoFeatureLoss
from srat.feature_losses.queued_separation_loss import QueuedSeparation
from srat.feature_losses.separation_loss import Separation, has_positive, separation

import_members(__name__)

__all__ = [
    "FeatureLoss",
    "FeatureTerm",
    "Memory",
    "NoFeatureLoss",
    "QueuedSeparation",
    "Separation",
    "has_positive",
    "separation",
]

"""Feature losses (a file each): features and labels → one number per anchor."""

from srat.feature_losses.base import FeatureLoss, FeatureTerm
from srat.feature_losses.none import NoFeatureLoss
from srat.feature_losses.separation import Separation, has_positive, separation
from srat.registry import import_members

import_members(__name__)

__all__ = ["FeatureLoss", "FeatureTerm", "NoFeatureLoss", "Separation", "has_positive", "separation"]

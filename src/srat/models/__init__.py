"""Backbones (a file each), heads, the classifier that holds them, and a wrapper for the user's own modules."""

from srat.core.members import import_members
from srat.models.asking import first_logits, logits_at
from srat.models.building import build
from srat.models.classifier import (
    Architecture,
    Classifier,
    ImageShape,
    Normalization,
    Output,
    channel_statistics,
)
from srat.models.heads import CosineLinear, Head
from srat.models.lending import AttackMode, lent
from srat.models.outputs import logits_of
from srat.models.starting import Init
from srat.models.wrapping.wrapper import wrap

import_members("srat.models.backbones")

attacked = lent
"""Its name in version 0.1."""

__all__ = [
    "Architecture",
    "AttackMode",
    "Classifier",
    "CosineLinear",
    "Head",
    "ImageShape",
    "Init",
    "Normalization",
    "Output",
    "attacked",
    "build",
    "channel_statistics",
    "first_logits",
    "lent",
    "logits_at",
    "logits_of",
    "wrap",
]

"""Backbones (a file each), heads, the classifier that holds them, and a wrapper for the user's own modules."""

from srat.models.asking import first_logits, logits_at
from srat.models.base import (
    Architecture,
    AttackMode,
    Classifier,
    ImageShape,
    Normalization,
    Output,
    attacked,
    channel_statistics,
)
from srat.models.build import build
from srat.models.heads import CosineLinear, Head
from srat.models.outputs import logits_of
from srat.models.wrapper import wrap
from srat.registry import import_members

import_members(__name__)

__all__ = [
    "Architecture",
    "AttackMode",
    "Classifier",
    "CosineLinear",
    "Head",
    "ImageShape",
    "Normalization",
    "Output",
    "attacked",
    "build",
    "channel_statistics",
    "first_logits",
    "logits_at",
    "logits_of",
    "wrap",
]

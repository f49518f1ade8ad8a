"""Samplings (a file each): which examples an epoch draws, and in which order."""

from srat.core.members import import_members
from srat.data.sampling.base import Sampling
from srat.data.sampling.class_balanced import ClassBalanced
from srat.data.sampling.shuffled import Shuffled

import_members(__name__)

__all__ = ["ClassBalanced", "Sampling", "Shuffled"]

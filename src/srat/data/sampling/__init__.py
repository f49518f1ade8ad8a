"""Samplings (a file each): which examples an epoch draws, and in which order."""

from srat.core.members import import_members
from srat.data.sampling.base import Sampling
from srat.data.sampling.class_balanced import ClassBalanced
from srat.data.sampling.effective_number import EffectiveNumberSampling
from srat.data.sampling.progressive import Progressive
from srat.data.sampling.shuffled import Shuffled
from srat.data.sampling.square_root import SquareRoot

import_members(__name__)

__all__ = ["ClassBalanced", "EffectiveNumberSampling", "Progressive", "Sampling", "Shuffled", "SquareRoot"]

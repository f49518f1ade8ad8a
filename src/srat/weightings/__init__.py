"""Class weightings (a file each): counts → a weight for each class."""

from srat.core.members import import_members
from srat.weightings.base import Weighting
from srat.weightings.effective_number_weighting import EffectiveNumber, effective_number
from srat.weightings.fixed_weighting import Fixed
from srat.weightings.inverse_frequency_weighting import InverseFrequency, inverse_frequency
from srat.weightings.uniform_weighting import Uniform, uniform

import_members(__name__)

__all__ = [
    "EffectiveNumber",
    "Fixed",
    "InverseFrequency",
    "Uniform",
    "Weighting",
    "effective_number",
    "inverse_frequency",
    "uniform",
]

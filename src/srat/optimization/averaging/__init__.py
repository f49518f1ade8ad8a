"""Weight averages (a file each): what is served in place of the last step's weights."""

from srat.core.members import import_members
from srat.optimization.averaging.base import Averaging, Ends, Estimated, Statistics, blend_
from srat.optimization.averaging.ema import EMA
from srat.optimization.averaging.fawa import FAWA
from srat.optimization.averaging.no_averaging import NoAveraging
from srat.optimization.averaging.swa import SWA

import_members(__name__)

__all__ = ["EMA", "FAWA", "SWA", "Averaging", "Ends", "Estimated", "NoAveraging", "Statistics", "blend_"]

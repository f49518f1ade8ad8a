"""Guards (a file each): what looks after a training at the end of each epoch, and what is done if it has gone wrong."""

from srat.core.members import import_members
from srat.guards.base import Guard, Right, Seen
from srat.guards.collapse_guard import CollapseGuard, has_fallen, surely_less
from srat.guards.no_guard import NoGuard
from srat.guards.watch import Watch

import_members(__name__)

__all__ = ["CollapseGuard", "Guard", "NoGuard", "Right", "Seen", "Watch", "has_fallen", "surely_less"]

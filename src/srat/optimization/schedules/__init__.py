"""Schedules (a file each): the learning rate of each step, and the first epoch with class weights."""

from srat.core.members import import_members
from srat.optimization.schedules.base import Schedule
from srat.optimization.schedules.cosine import Cosine
from srat.optimization.schedules.one_cycle import OneCycle
from srat.optimization.schedules.steps import Steps

import_members(__name__)

__all__ = ["Cosine", "OneCycle", "Schedule", "Steps"]

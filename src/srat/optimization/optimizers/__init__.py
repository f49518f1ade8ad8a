"""Optimisers (a file each): from gradients to a step of the weights."""

from srat.core.members import import_members
from srat.optimization.optimizers.adamw import AdamW
from srat.optimization.optimizers.base import Optimizer
from srat.optimization.optimizers.sgd import SGD

import_members(__name__)

__all__ = ["SGD", "AdamW", "Optimizer"]

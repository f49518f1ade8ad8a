"""Regularisers (a file each): a model → a term of the objective, whatever the images."""

from srat.core.members import import_members
from srat.regularizers.base import Regularizer
from srat.regularizers.no_regularizer import NoRegularizer
from srat.regularizers.simplex_head import SimplexHead, simplex_deviation

import_members(__name__)

__all__ = ["NoRegularizer", "Regularizer", "SimplexHead", "simplex_deviation"]

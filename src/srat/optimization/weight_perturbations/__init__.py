"""Weight perturbations (a file each): at which weights the gradient is taken."""

from srat.core.members import import_members
from srat.optimization.weight_perturbations.awp import AWP, adversarial_step
from srat.optimization.weight_perturbations.base import WeightPerturbation
from srat.optimization.weight_perturbations.no_perturbation import NoPerturbation

import_members(__name__)

__all__ = ["AWP", "NoPerturbation", "WeightPerturbation", "adversarial_step"]

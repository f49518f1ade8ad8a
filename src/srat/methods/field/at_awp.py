"""Adversarial weight perturbation."""

from srat.methods.base import Method
from srat.optimization.weight_perturbations import AWP

METHOD = Method(
    title="Adversarial training at adversarially perturbed weights",
    source="Wu et al., 2020, Adversarial Weight Perturbation Helps Robust Generalization; code: utils_awp.py",
    formula="CE(z_{w+v}(x'), y), v_l = γ · ‖w_l‖ · g_l / ‖g_l‖ for each weight tensor, g the gradient of the loss at w",
    differs=(
        "Weights come back from a copy, so bit by bit; to subtract v again leaves a rounding.",
        "BatchNorm's running statistics are those of the pass at w; the authors' are a mixture "
        "(`weight_perturbation.statistics` perturbed takes those at w + v).",
        "Of others' code MAIR takes one norm over all parameters and attacks again, RobustLT takes the optimiser's "
        "momentum into v: other methods under the same name.",
    ),
    weight_perturbation=AWP(),
)

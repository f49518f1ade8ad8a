"""RoBal."""

from srat.losses import RoBal
from srat.methods.base import Method
from srat.robust_losses import Consistency

METHOD = Method(
    title="RoBal: a cosine head, wider margins for common classes, offsets, and consistency under attack",
    source=(
        "Wu et al., 2021, Adversarial Robustness under Long-Tailed Distribution; code: losses_inclass.py, "
        "train_modes.py"
    ),
    formula=(
        "CE(s · (cos θ − m_y · e_y) + τ_b · ln π, y) + β · KL(p(x) ‖ p(x')), m_y = m₀ + (τ_m / s) · ln(n_y / n_min)"
    ),
    differs=(
        "Constants are those of CIFAR-10 at 50 : 1, configuration R (N: τ_b 1.2, τ_m 0, and `head.tau` 0.1 in "
        "testing).",
        "Their attack, divergence and test see cosines, their loss ten times that; here all see the scale that is "
        "served. Accuracies under PGD of their R and N cannot be compared with each other.",
        "Their attack starts on one side, at U[0, ε]; their learning rate is multiplied in every epoch after a "
        "milestone; their step passes clean images through BatchNorm once more, with a weight of 0. None of that is "
        "done.",
    ),
    loss=RoBal(),
    robust_loss=Consistency(),
)

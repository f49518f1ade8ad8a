"""TAET."""

from srat.attacks import PGD, Natural
from srat.losses import HARL, CrossEntropy
from srat.methods.base import Method
from srat.methods.before import Before

METHOD = Method(
    title="TAET: natural training first, then a loss of the classes' mean, variance and shares under attack",
    source=(
        "Wang et al., 2025, Two-Stage Adversarial Equalization Training on Long-Tailed Distributions; code: HARL.py, "
        "TAET.ipynb"
    ),
    formula=(
        "α · mean_c L_c + β · mean_c (L_c − L̄)² + γ · Σ_c (L_c / Σ L)², L_c the mean CE(z(x'), y) of class c; "
        "CE(z(x), y) before"
    ),
    differs=(
        "The released code trains on clean images in the first stage, the paper is read as under attack: "
        "`before.attack` pgd is the latter.",
        "Their loss pushes the easiest classes up; here no class weighs less than 0 (`loss.floored` false is the "
        "letter).",
        "Classes that a batch has no image of count as L_c = 0 with them; here they do not (`loss.absent_as_zero`).",
        "Its value is about a tenth of the cross-entropy's, and with it the learning rate.",
    ),
    loss=HARL(),
    before=Before(part=0.4, attack=Natural(), loss=CrossEntropy()),
    attack=PGD(start_deviation=0.001),
)

"""CFA."""

from srat.attacks import PGD
from srat.attacks.budgets import CFA
from srat.methods.base import Method
from srat.optimization.averaging import FAWA
from srat.robust_losses import CalibratedTRADES

METHOD = Method(
    title="CFA: budgets and β by each class's accuracy under attack, and an average of fair epochs",
    source="Wei et al., 2023, CFA: Class-Wise Calibrated Fair Adversarial Training; code: train.py, utils.py",
    formula=(
        "(1 − b_y) · CE(z(x), y) + b_y · KL(p(x) ‖ p(x')), β_c = (λ₂ + A_c) · β, b = β / (1 + β), ε_c = (λ₁ + A_c) · ε"
    ),
    differs=(
        "A_c is divided by the class's own count; theirs by that of a balanced set, which makes A_c 1.61 … 0.016 "
        "of an accuracy of 40 % in every class of Exp-100.",
        "The step goes with ε_c; theirs is the same for all. Easy classes get the larger ε, as with them: the "
        "opposite of RobustLT.",
        "They choose checkpoints on the test set; the average asks the held-out part here, as in their paper.",
    ),
    robust_loss=CalibratedTRADES(),
    budget=CFA(),
    averaging=FAWA(),
    attack=PGD(start_deviation=0.001),
)

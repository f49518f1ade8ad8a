"""DAFA."""

from srat.attacks import PGD
from srat.attacks.budgets import DAFA
from srat.methods.base import Method
from srat.robust_losses import TRADES
from srat.weightings.dafa_weighting import DAFAWeighting

METHOD = Method(
    title="DAFA: more weight and a larger budget for classes that are taken for easier ones",
    source="Lee et al., 2024, DAFA: Distance-Aware Fair Adversarial Training; code: utils.py, losses.py",
    formula=(
        "W_y · CE(z(x), y) + β · KL(p(x) ‖ p(x')), ε_c = W_c · ε, W from the softmax of one epoch's adversarial images"
    ),
    differs=(
        "`objective.reduction` mean is theirs; weighted_mean, the default, divides both terms by the batch's Σ W.",
        "Their branch for PGD steps twice and projects on the ball of ε, not W_c · ε; here the ball is W_c · ε.",
        "W can be 0 or less where many classes are alike; a floor of 0.25 keeps it positive.",
        "They lose W on a restart; here it is in the checkpoint.",
    ),
    weighting=DAFAWeighting(),
    robust_loss=TRADES(weighted="prediction"),
    budget=DAFA(),
    attack=PGD(start_deviation=0.001),
)

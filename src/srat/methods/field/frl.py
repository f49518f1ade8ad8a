"""FRL."""

from srat.attacks import PGD
from srat.attacks.budgets import FRL
from srat.methods.base import Method
from srat.robust_losses import TRADES

METHOD = Method(
    title="FRL (remargin): larger budgets for classes that the attack alone makes wrong",
    source="Xu et al., 2021, To be Robust or to be Fair: Towards Fairness in Adversarial Training; code read",
    formula=(
        "CE(z(x), y) + β · KL(p(x) ‖ p(x')), ε_c = ε · clip(e^{2 λ_c}, 0.98, 3), λ_c += r · (b_c − b̄ − δ) on the "
        "held-out part"
    ),
    differs=(
        "It is the form that moves budgets; the one that moves weights is not here.",
        "Their step is a quarter of the batch's largest ε, and PGD-20 tells them what is wrong; here the step goes by "
        "each image's own ε, and the attack that chooses the best epoch tells.",
        "They begin with a robust model and train it for 40 epochs more; here the second half of a run stands for "
        "those.",
    ),
    robust_loss=TRADES(beta=1.5),
    budget=FRL(),
    attack=PGD(start_deviation=0.001),
)

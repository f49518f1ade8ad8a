"""RobustLT."""

from srat.attacks.budgets import RobustLT
from srat.losses import BalancedSoftmax
from srat.methods.base import Method

METHOD = Method(
    title="RobustLT: larger budgets for rarer classes, growing over the run, on the balanced softmax",
    source="RobustLT (CVPR 2026, arXiv:2605.13395); code: core/methods/robustlt.py",
    formula=(
        "CE(z(x') + ln n, y), ε_c = ε · ((1 − a) + a · r_c / Σ π_k r_k), r_c = √ln(n_max / n_c), times min(1, (t − 1)"
        " / (b E))"
    ),
    differs=(
        "They put it on six methods; AT-BSL is the strongest of them. `loss` cross-entropy is AT + RobustLT; "
        "their AT-BSL has AutoAugment besides.",
        "On Step imbalance ε_c is 4 times ε at 10 : 1 and 31 times at 100 : 1, which is refused: `budget` class-wise "
        "has the same idea between two ends, 0.7 and 1.6.",
        "Their random start is of ε, not ε_c; start, step and ball all go by ε_c here. While the balls grow, the "
        "attack takes fewer steps (`budget.fewer_steps` false takes all).",
        "For CIFAR-100 their code has a 0.4, b 0.6, and the paper a 0.5.",
    ),
    loss=BalancedSoftmax(),
    budget=RobustLT(ramp=0.8),
)

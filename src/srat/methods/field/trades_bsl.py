"""TRADES with the balanced softmax."""

from srat.attacks import PGD
from srat.losses import BalancedSoftmax
from srat.methods.base import Method
from srat.robust_losses import TRADES

METHOD = Method(
    title="TRADES with the balanced softmax on clean images",
    source="Zhang et al., 2019, and Ren et al., 2020; together in the comparisons of Yue et al., 2024 (AT-BSL)",
    formula="CE(z(x) + τ · ln n, y) + β · KL(p(x) ‖ p(x')); the attack: KL(p(x) ‖ p(x'))",
    differs=("The divergence compares the logits that are served, without the offsets.",),
    loss=BalancedSoftmax(),
    robust_loss=TRADES(),
    attack=PGD(start_deviation=0.001),
)

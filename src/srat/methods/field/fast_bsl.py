"""Fast adversarial training with the balanced softmax."""

from srat.attacks import NFGSM
from srat.losses import BalancedSoftmax
from srat.methods.base import Method

METHOD = Method(
    title="The balanced softmax under one step from noise wider than the ball",
    source="ours, 2026 (docs/ours.md), of Ren et al., 2020 (balanced softmax) and de Jorge et al., 2022 (N-FGSM)",
    formula="CE(z(x') + τ · ln n, y); the attack: one step of ε from noise in 2 ε, without a projection",
    differs=(
        "`loss.tau` above 1 takes from common classes what it gives rare ones: with 1.5, at 100 : 1, nearly all.",
    ),
    loss=BalancedSoftmax(),
    attack=NFGSM(),
)

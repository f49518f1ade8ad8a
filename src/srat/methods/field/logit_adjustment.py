"""Logit adjustment."""

from srat.losses import LogitAdjustment
from srat.methods.base import Method

METHOD = Method(
    title="Adversarial training with logit adjustment",
    source="Menon et al., 2021, Long-Tail Learning via Logit Adjustment; code: RoBal's losses_inclass.py",
    formula="CE(z(x') + τ · ln π, y), π = n / Σ n",
    differs=(
        "It is the balanced softmax but for a constant, τ · ln Σ n, which no gradient sees.",
        "The post-hoc form leaves the loss alone and serves z − τ · ln π: `head.tau` 1 with `loss` cross-entropy.",
    ),
    loss=LogitAdjustment(),
)

"""Vector scaling."""

from srat.losses import VectorScaling
from srat.methods.base import Method

METHOD = Method(
    title="Adversarial training with the vector-scaling loss",
    source=(
        "Kini et al., 2021, Label-Imbalanced and Group-Sensitive Classification under Overparameterization; code: "
        "losses.py"
    ),
    formula="CE(z(x') / Δ + τ · ln π, y), Δ_j = (n_max / n_j)^γ",
    differs=(
        "Its code has γ 0.3 and τ 1, its README for CIFAR-10 at 100 : 1 γ 0.2 and τ 1.2; the former is the default.",
        "γ 0 is logit adjustment, τ 0 is CDT.",
    ),
    loss=VectorScaling(),
)

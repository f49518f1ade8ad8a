"""TRADES."""

from srat.attacks import PGD
from srat.methods.base import Method
from srat.robust_losses import TRADES

METHOD = Method(
    title="TRADES: accuracy on clean images, and predictions that an attack does not move",
    source="Zhang et al., 2019, Theoretically Principled Trade-off between Robustness and Accuracy; code: trades.py",
    formula="CE(z(x), y) + β · KL(p(x) ‖ p(x')); the attack: KL(p(x) ‖ p(x'))",
    differs=(
        "The divergence is a sum over classes and a mean over the batch; PyTorch's default reduction divides by both.",
        "At x' = x its gradient is 0: the attack begins 0.001 · N(0, 1) away, and is refused without a start.",
        "Their code computes the clean logits twice, which moves BatchNorm's statistics twice; here it is once.",
    ),
    robust_loss=TRADES(),
    attack=PGD(start_deviation=0.001),
)

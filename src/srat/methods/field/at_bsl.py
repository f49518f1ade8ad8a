"""AT-BSL."""

from srat.attacks import PGD
from srat.data.augmentation import RandAugment
from srat.losses import BalancedSoftmax
from srat.methods.base import Method

METHOD = Method(
    title="Balanced softmax and RandAugment",
    source="Yue et al., 2024, Revisiting Adversarial Training under Long-Tailed Distributions; code: at_bsl_loss.py",
    formula="CE(z(x') + ln n, y) on images after RandAugment(2, 8)",
    differs=(
        "They take RandAugment or AutoAugment, by a flag whose default is the latter: `augmentation` auto-augment.",
        "They choose the epoch on the test set; here the held-out part does.",
    ),
    loss=BalancedSoftmax(),
    augmentation=RandAugment(),
    attack=PGD(start_deviation=0.001),
)

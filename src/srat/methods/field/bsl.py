"""Balanced softmax."""

from srat.losses import BalancedSoftmax
from srat.methods.base import Method

METHOD = Method(
    title="Adversarial training with the balanced softmax",
    source=(
        "Ren et al., 2020, Balanced Meta-Softmax; under attack Yue et al., 2024 (AT-BSL); code: "
        "loss/BalancedSoftmaxLoss.py"
    ),
    formula="CE(z(x') + τ · ln n, y)",
    differs=(
        "The attack sees z, the logits that are served; some code attacks z + τ · ln n, which is `inner.loss` "
        "training.",
        "Balanced logits are served as they are: to add the offsets in testing undoes it, to subtract them does it "
        "twice.",
    ),
    loss=BalancedSoftmax(),
)

"""REAT."""

from srat.feature_losses import TailAlignment
from srat.losses import BalancedSoftmax
from srat.methods.base import Method

METHOD = Method(
    title="REAT: the balanced softmax, and an alignment of the rare classes' features",
    source="Li et al., 2023, REAT (arXiv:2307.10205); code: loss_functions.py, train.py",
    formula="CE(z(x') + ln n, y) + mean over tail anchors i of Σ_j s_ij (v_{y_i} + v_{y_j}) · KL(f_i ‖ f_j) / (B · d)",
    differs=(
        "Their attack weighs the examples' losses by how often a class was predicted; no positive weight moves a sign"
        " step, so that it is plain PGD, and is left out. An extra clean pass in their step, which only counts, as "
        "well.",
        "KLDivLoss divides by batch and features, which makes the term some hundred times smaller than the paper's; "
        "`feature_loss.reduction` sum is the paper's letter; neither has a least value.",
        "Their tail is the last labels; here it is the third of the classes with the fewest examples.",
    ),
    loss=BalancedSoftmax(),
    feature_loss=TailAlignment(reduction="reat"),
)

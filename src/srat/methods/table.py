"""The paper's methods: a loss, a weighting, whether it is deferred, a feature loss, and a robust loss."""

from collections.abc import Mapping
from dataclasses import dataclass

from srat.core.checked import Checked
from srat.feature_losses import FeatureLoss, NoFeatureLoss, Separation
from srat.losses import LDAM, CrossEntropy, Focal, Loss
from srat.robust_losses import RobustLoss, Standard
from srat.weightings import EffectiveNumber, Uniform, Weighting


@dataclass(frozen=True, kw_only=True)
class Method(Checked):
    """A row of the table."""

    loss: Loss
    weighting: Weighting = Uniform()
    deferred: bool = False
    feature_loss: FeatureLoss = NoFeatureLoss()
    robust_loss: RobustLoss = Standard()
    attacked: bool = True


CB = EffectiveNumber()
SEP = Separation()

METHODS: Mapping[str, Method] = {
    "natural": Method(loss=CrossEntropy(), attacked=False),
    "ce": Method(loss=CrossEntropy()),
    "focal": Method(loss=Focal()),
    "ldam": Method(loss=LDAM()),
    "cb-reweight": Method(loss=CrossEntropy(), weighting=CB),
    "cb-focal": Method(loss=Focal(), weighting=CB),
    "drcb-ce": Method(loss=CrossEntropy(), weighting=CB, deferred=True),
    "drcb-focal": Method(loss=Focal(), weighting=CB, deferred=True),
    "drcb-ldam": Method(loss=LDAM(), weighting=CB, deferred=True),
    "srat-ce": Method(loss=CrossEntropy(), weighting=CB, deferred=True, feature_loss=SEP),
    "srat-focal": Method(loss=Focal(), weighting=CB, deferred=True, feature_loss=SEP),
    "srat-ldam": Method(loss=LDAM(), weighting=CB, deferred=True, feature_loss=SEP),
}

"""The paper's methods: a loss, a weighting, whether it is deferred, a feature loss, and whether images are attacked."""

from collections.abc import Mapping

from srat.attacks import Natural
from srat.feature_losses import Separation
from srat.losses import LDAM, CrossEntropy, Focal
from srat.methods.base import Method
from srat.weightings import EffectiveNumber

CB = EffectiveNumber()
SEP = Separation()
_PAPER = "Wang et al., 2021, Imbalanced Adversarial Training with Reweighting (arXiv:2107.13639), Section 5.1"
_OF = {
    "madry": "Madry et al., 2018, Towards Deep Learning Models Resistant to Adversarial Attacks",
    "focal": "Lin et al., 2017, Focal Loss for Dense Object Detection",
    "ldam": "Cao et al., 2019, Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
    "cb": "Cui et al., 2019, Class-Balanced Loss Based on Effective Number of Samples",
}
_WEIGHTED = "Σ w_y · {} / Σ w_y"
_SRAT = "Σ w_y · {} / Σ w_y + λ · L_sep(features of x')"
_CE, _FOCAL, _LDAM = "CE(z(x'), y)", "(1 − p_y)^γ · CE(z(x'), y)", "CE(s · (cos θ − Δ_y · e_y), y)"
_SILENT = "The paper gives neither λ nor τ; docs/method.md says what is taken, and why."
_REDUCED = "Eq. 5 divides by n, the code that it builds on by Σ w; `objective.reduction` mean is the letter."

METHODS: Mapping[str, Method] = {
    "natural": Method(
        title="Natural training: cross-entropy on images as they are",
        source=_PAPER,
        formula="CE(z(x), y)",
        attack=Natural(),
    ),
    "ce": Method(
        title="Adversarial training", source=f"{_OF['madry']}; {_PAPER}", formula=f"{_CE}", loss=CrossEntropy()
    ),
    "focal": Method(
        title="Adversarial training with the focal loss",
        source=f"{_OF['focal']}; {_PAPER}",
        formula=_FOCAL,
        loss=Focal(),
    ),
    "ldam": Method(
        title="Adversarial training with label-distribution-aware margins",
        source=f"{_OF['ldam']}; {_PAPER}",
        formula=f"{_LDAM}, Δ_y ∝ n_y^(−1/4)",
        loss=LDAM(),
    ),
    "cb-reweight": Method(
        title="Class-balanced weights from the first epoch on",
        source=f"{_OF['cb']}; {_PAPER}",
        formula=_WEIGHTED.format(_CE),
        differs=(_REDUCED,),
        weighting=CB,
    ),
    "cb-focal": Method(
        title="Class-balanced weights on the focal loss",
        source=f"{_OF['cb']}; {_PAPER}",
        formula=_WEIGHTED.format(_FOCAL),
        differs=(_REDUCED,),
        loss=Focal(),
        weighting=CB,
    ),
    "drcb-ce": Method(
        title="Class-balanced weights from the first decay of the learning rate on",
        source=f"{_OF['ldam']}; {_PAPER}",
        formula=_WEIGHTED.format(_CE),
        differs=(_REDUCED,),
        weighting=CB,
        deferred=True,
    ),
    "drcb-focal": Method(
        title="The focal loss with deferred class-balanced weights",
        source=f"{_OF['ldam']}; {_PAPER}",
        formula=_WEIGHTED.format(_FOCAL),
        differs=(_REDUCED,),
        loss=Focal(),
        weighting=CB,
        deferred=True,
    ),
    "drcb-ldam": Method(
        title="LDAM with deferred class-balanced weights",
        source=f"{_OF['ldam']}; {_PAPER}",
        formula=_WEIGHTED.format(_LDAM),
        differs=(_REDUCED,),
        loss=LDAM(),
        weighting=CB,
        deferred=True,
    ),
    "srat-ce": Method(
        title="Separable reweighted adversarial training with cross-entropy",
        source=f"{_PAPER}, Algorithm 1",
        formula=_SRAT.format(_CE),
        differs=(_SILENT, _REDUCED),
        weighting=CB,
        deferred=True,
        feature_loss=SEP,
    ),
    "srat-focal": Method(
        title="Separable reweighted adversarial training with the focal loss",
        source=f"{_PAPER}, Algorithm 1",
        formula=_SRAT.format(_FOCAL),
        differs=(_SILENT, _REDUCED),
        loss=Focal(),
        weighting=CB,
        deferred=True,
        feature_loss=SEP,
    ),
    "srat-ldam": Method(
        title="Separable reweighted adversarial training with LDAM",
        source=f"{_PAPER}, Algorithm 1",
        formula=_SRAT.format(_LDAM),
        differs=(_SILENT, _REDUCED),
        loss=LDAM(),
        weighting=CB,
        deferred=True,
        feature_loss=SEP,
    ),
}

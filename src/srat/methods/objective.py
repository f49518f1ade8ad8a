"""Eq. 7, and the only place that weighs and reduces."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from srat.core.checked import Checked, checked
from srat.core.errors import require_amount
from srat.feature_losses import FeatureTerm

PerExample = Float[Tensor, " batch"]
Scalar = Float[Tensor, ""]
Reduction = Literal["weighted_mean", "mean"]


@checked
def reduce_weighted(losses: PerExample, weights: PerExample, reduction: Reduction) -> Scalar:
    """Return Σ w_i L_i / Σ w_i ("weighted_mean") or Σ w_i L_i / n ("mean").

    Args:
        losses: L, (batch,).
        weights: w, (batch,), the weight of each example's class.
        reduction: "weighted_mean", as LDAM-DRW and CB-loss code trains, or "mean", the letter of Eq. 5. On a
            Step-100 batch the two differ up to 18-fold, and with them the balance against the feature loss.
    """
    weighted = losses * weights
    return weighted.sum() / weights.sum() if reduction == "weighted_mean" else weighted.mean()


def reduce_anchors(term: FeatureTerm) -> Scalar:
    """Return the mean over the anchors that count, 0 if there are none.

    Args:
        term: what a feature loss returns.
    """
    return term.values.sum() / term.counts.sum().clamp(min=1)


class Value(NamedTuple):
    """An objective's value and its parts, all on the device."""

    total: Scalar
    """What is minimised."""
    prediction: Scalar
    """The reduced prediction loss."""
    feature: Scalar
    """The reduced feature loss, before λ; 0 if there is none."""
    anchors: Bool[Tensor, " batch"]
    """Which examples counted as anchors of the feature loss."""


@dataclass(frozen=True, kw_only=True)
class Objective(Checked):
    """Eq. 7: reduce(w_i · L_i) + λ · mean(L_sep), and what a regulariser adds."""

    reduction: Reduction = "weighted_mean"
    """weighted_mean divides by Σw, mean by n (Eq. 5 to the letter)."""
    feature_weight: float = 1.0
    """λ, the weight of the feature loss; the paper does not give it."""

    def __post_init__(self) -> None:
        weight = self.feature_weight
        require_amount(weight, "objective.feature_weight")

    def __call__(
        self, losses: PerExample, weights: PerExample, term: FeatureTerm | None, regularization: Scalar | None = None
    ) -> Value:
        """Return the objective of a batch.

        Args:
            losses: L_i, (batch,), the prediction loss of each example.
            weights: w_i, (batch,), the weight of each example's class.
            term: the feature loss, or None.
            regularization: what a regulariser says of the weights, or None.
        """
        total = prediction = reduce_weighted(losses, weights, self.reduction)
        if regularization is not None:
            total = total + regularization
        if term is None:
            nothing = torch.zeros_like(losses)
            return Value(total, prediction, nothing.sum(), nothing.bool())
        feature = reduce_anchors(term)
        return Value(total + self.feature_weight * feature, prediction, feature, term.counts)

"""The numbers of an epoch: summed on the device, read once."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from srat.evaluation import Counts, Groups
from srat.objective import Value

Row = dict[str, Any]
"""A row of metrics.csv."""


class Sums(NamedTuple):
    """Sums over the examples of an epoch."""

    examples: float
    objective: float
    prediction: float
    feature: float
    anchors: float
    under: float
    under_anchors: float
    correct: float


def batch_sums(value: Value, correct: Bool[Tensor, " batch"], under: Bool[Tensor, " batch"]) -> Float[Tensor, " sums"]:
    """Return the :class:`Sums` of a batch, as a float64 tensor on the device.

    Args:
        value: the objective and its parts.
        correct: (batch,), which examples are classified correctly.
        under: (batch,), which examples are of under-represented classes.
    """
    n, anchors = len(correct), value.anchors.sum()
    parts = {
        "examples": torch.full_like(anchors, n),
        "objective": value.total * n,
        "prediction": value.prediction * n,
        "feature": value.feature * anchors,
        "anchors": anchors,
        "under": under.sum(),
        "under_anchors": (under & value.anchors).sum(),
        "correct": correct.sum(),
    }
    return torch.stack([parts[name].detach().double() for name in Sums._fields])


def training_row(sums: Sums, *, has_feature_loss: bool) -> Row:
    """Return the means of an epoch's training, under the training attack."""
    without, under_without = 1 - sums.anchors / sums.examples, 1 - sums.under_anchors / max(sums.under, 1)
    return {
        "loss": sums.objective / sums.examples,
        "prediction_loss": sums.prediction / sums.examples,
        "feature_loss": sums.feature / max(sums.anchors, 1),
        "anchors_without_positive": without if has_feature_loss else 0.0,
        "under_anchors_without_positive": under_without if has_feature_loss else 0.0,
        "train_accuracy": sums.correct / sums.examples,
    }


def held_out_row(clean: Counts, robust: Counts, groups: Groups) -> Row:
    """Return the held-out part's accuracies: means over classes, and the under-represented ones' with its interval."""
    under = robust.accuracy(groups.under)
    return {
        "held_out_clean": clean.macro(),
        "held_out_robust": robust.macro(),
        "held_out_under": under.accuracy,
        "held_out_under_low": under.low,
        "held_out_under_high": under.high,
    }

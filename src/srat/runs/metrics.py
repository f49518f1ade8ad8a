"""The numbers of an epoch: summed on the device, read once."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from srat.data import Targets
from srat.evaluation.counts import Counts
from srat.evaluation.groups import RARE, Groups
from srat.guards import Seen
from srat.methods.objective import Value

Row = dict[str, Any]
"""A row of metrics.csv."""


class Sums(NamedTuple):
    """Sums over the examples of an epoch, so far."""

    examples: float
    objective: float
    prediction: float
    feature: float
    anchors: float
    under: float
    under_anchors: float
    correct: float
    gradient_norm: float
    """Summed over the steps."""
    steps: float
    """How many steps, from the first on, had a finite objective and gradient."""
    largest_logit: float
    """Not a sum: the largest finite magnitude of a logit."""


_STEPS, _LARGEST = (Sums._fields.index(name) for name in ("steps", "largest_logit"))


def no_sums() -> Float[Tensor, " sums"]:
    """Return the sums over nothing."""
    return torch.zeros(len(Sums._fields), dtype=torch.float64)


def batch_sums(
    value: Value,
    logits: Float[Tensor, "batch classes"],
    targets: Targets,
    under: Bool[Tensor, " batch"] | Float[Tensor, " batch"],
    gradient_norm: Float[Tensor, ""],
) -> Float[Tensor, " sums"]:
    """Return the `Sums` of a batch, as a float64 tensor on the device.

    Args:
        value: the objective and its parts.
        logits: (batch, classes), of the adversarial images.
        targets: the classes; of a mixed image, each counts by its part.
        under: (batch,), which examples are of under-represented classes, or in which part.
        gradient_norm: length of the gradient with respect to all parameters.
    """
    n, anchors = len(logits), value.anchors.sum()
    predicted = logits.argmax(dim=1)
    parts = {
        "examples": torch.full_like(anchors, n),
        "objective": value.total * n,
        "prediction": value.prediction * n,
        "feature": value.feature * anchors,
        "anchors": anchors,
        "under": under.sum(),
        "under_anchors": (under * value.anchors).sum(),
        "correct": targets.mean(lambda labels: predicted == labels).sum(),
        "gradient_norm": gradient_norm,
        "steps": torch.ones_like(anchors),
        "largest_logit": logits.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).abs().amax(),
    }
    return torch.stack([parts[name].detach().double() for name in Sums._fields])


def accumulate(sums: Float[Tensor, " sums"], batch: Float[Tensor, " sums"], *, step: int) -> Float[Tensor, " sums"]:
    """Return the sums with a step's put in; from the first one that is not finite on, they stay as they are.

    Of that first one, the largest logit still counts.

    Args:
        sums: those of the steps before.
        batch: those of this step.
        step: its number within the epoch, counted from 0.
    """
    so_far = sums[_STEPS] == step
    total = torch.where(so_far & batch.isfinite().all(), sums + batch, sums)
    total[_LARGEST] = torch.where(so_far, torch.maximum(sums[_LARGEST], batch[_LARGEST]), sums[_LARGEST])
    return total


def training_row(sums: Sums, *, has_feature_loss: bool) -> Row:
    """Return the means of an epoch's training, under the training attack."""
    without = 1 - sums.anchors / sums.examples
    under_without = 1 - sums.under_anchors / sums.under if sums.under else 0.0
    return {
        "loss": sums.objective / sums.examples,
        "prediction_loss": sums.prediction / sums.examples,
        "feature_loss": sums.feature / max(sums.anchors, 1),
        "anchors_without_positive": without if has_feature_loss else 0.0,
        "under_anchors_without_positive": under_without if has_feature_loss else 0.0,
        "train_accuracy": sums.correct / sums.examples,
        "gradient_norm": sums.gradient_norm / sums.steps,
        "largest_logit": sums.largest_logit,
    }


def held_out_row(clean: Counts, robust: Counts, groups: Groups, train_counts: Sequence[int]) -> Row:
    """Return the held-out part's accuracies: means over classes, and the under-represented ones' with its interval.

    Beside them the accuracy under attack with each class as frequent as in training, which the training images' can be
    compared with, and how many classes have an image that is right as it is, and how many have none.
    Where no class is under-represented, there is nothing of the latter.

    Args:
        clean: of the images as they are.
        robust: of the images under attack.
        groups: the classes by their counts.
        train_counts: training images of each class.
    """
    there, silent = [c for c, total in enumerate(clean.total) if total], len(clean.silent)
    row = {
        "held_out_clean": clean.macro(),
        "held_out_robust": robust.macro(),
        "held_out_as_trained": sum(train_counts[c] * robust.correct[c] / robust.total[c] for c in there)
        / sum(train_counts[c] for c in there),
        "held_out_classes_right": len(there) - silent,
        "held_out_classes_silent": silent,
    }
    if not groups.under:
        return row
    accuracy, low, high = robust.accuracy(groups.under)
    return row | {"held_out_under": accuracy, "held_out_under_low": low, "held_out_under_high": high}


def guard_row(seen: Mapping[str, Seen], remedies: int, *, collapsed: bool, rolled_back: bool) -> Row:
    """Return what a guard has seen of an epoch, in all and of the under-represented classes, and what it has done.

    Args:
        seen: of each group of classes, by its name.
        remedies: how often it has gone back so far.
        collapsed: whether it has found a collapse.
        rolled_back: whether it has undone this epoch.
    """
    columns = {"": "", RARE: "_under"}
    there = {columns[group]: one for group, one in seen.items() if group in columns}
    return {
        **{f"guard_probe{column}": one.probe.accuracy for column, one in there.items()},
        **{f"guard_trained{column}": one.trained.accuracy for column, one in there.items()},
        **{f"guard_ratio{column}": one.ratio for column, one in there.items()},
        "guard_remedies": remedies,
        "guard_collapsed": int(collapsed),
        "guard_rolled_back": int(rolled_back),
    }


def budget_row(scales: Float[Tensor, " classes"] | None, counts: Sequence[int]) -> Row:
    """Return what ε is multiplied by: the least and the largest of a class, the mean over the images.

    Args:
        scales: (classes,), of an epoch; None for 1.
        counts: training images of each class.
    """
    values = [1.0] * len(counts) if scales is None else scales.tolist()
    mean = sum(n * scale for n, scale in zip(counts, values, strict=True)) / sum(counts)
    return {"budget_least": min(values), "budget_mean": mean, "budget_largest": max(values)}

"""What images are taken for, and the figures that follow from that: precision and F1."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from srat.core.checked import checked
from srat.evaluation.outcome import Outcome


@checked
def confusion_of(outcome: Outcome, labels: Int[Tensor, " n"], classes: int) -> Int[Tensor, "classes classes"]:
    """Return how many images of each class (rows) are taken for which (columns).

    Under attack an image is taken for what it broke to. One that is wrong because its logits were no numbers may be
    taken for nothing: its row adds up to fewer images than the class has.

    Args:
        outcome: what became of the images.
        labels: (n,), the true classes.
        classes: how many there are.
    """
    # The true class may be the argmax of NaN logits: only what has survived is right.
    counted = outcome.survived | (outcome.predicted != labels)
    taken = torch.where(outcome.survived, labels, outcome.predicted)
    return torch.bincount((labels * classes + taken)[counted], minlength=classes**2).view(classes, classes)


def taken_for(outcome: Outcome, labels: Int[Tensor, " n"], classes: int) -> tuple[int, ...]:
    """Return how many images are taken for each class; arguments as for `confusion_of`."""
    return tuple(confusion_of(outcome, labels, classes).sum(dim=0).tolist())


@checked
def precisions(correct: Sequence[int], taken: Sequence[int]) -> tuple[float, ...]:
    """Return each class's precision, TP / (TP + FP): how many of the images taken for it are of it.

    Args:
        correct: (classes,), TP.
        taken: (classes,), TP + FP.

    Returns:
        In [0, 1]; NaN of a class that no image is taken for.
    """
    return tuple(right / all_ if all_ else math.nan for right, all_ in zip(correct, taken, strict=True))


@checked
def f1_scores(correct: Sequence[int], total: Sequence[int], taken: Sequence[int]) -> tuple[float, ...]:
    """Return each class's F1, 2 TP / (2 TP + FN + FP), the harmonic mean of its precision and its accuracy.

    Args:
        correct: (classes,), TP.
        total: (classes,), TP + FN, its images.
        taken: (classes,), TP + FP, the images taken for it.

    Returns:
        In [0, 1]; NaN of a class without images.
    """
    columns = zip(correct, total, taken, strict=True)
    return tuple(2 * right / (there + taken_) if there else math.nan for right, there, taken_ in columns)


def macro(scores: Sequence[float]) -> float:
    """Return the mean of the classes' scores; those that are NaN do not count, NaN if all are."""
    known = [score for score in scores if not math.isnan(score)]
    return sum(known) / len(known) if known else math.nan

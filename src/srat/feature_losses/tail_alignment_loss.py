"""REAT's alignment of the rare classes' features."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from srat.core.checked import checked
from srat.core.errors import UserError, require
from srat.data.counts import ClassCounts, check_counts, require_labels
from srat.feature_losses.base import FeatureLoss, Features, FeatureTerm, Labels, Memory

TailReduction = Literal["sum", "reat"]
"""Over the features of a pair: their sum, which is KL, or the mean of KLDivLoss."""


@checked
def tail_alignment(
    features: Features, labels: Labels, class_counts: ClassCounts, *, reduction: TailReduction = "sum"
) -> Float[Tensor, " batch"]:
    """Return each tail anchor's alignment, 1/B Σ_j s_ij (v_{y_i} + v_{y_j}) · KL(softmax f_i ‖ softmax f_j).

    s is −1 for two examples of a class and +1 otherwise, v_c = √(N / n_c), and f_i, the anchor's, gets no gradient: to
    minimise it moves each f_j towards the rare anchors of other classes, and away from those of its own. An example
    that is not of the tail is no anchor, and has 0.

    Args:
        features: f, (batch, dimensions).
        labels: y, (batch,), integers in [0, classes).
        class_counts: n, (classes,), training examples of each class, at least 1; N is their sum.
        reduction: "sum" over the features, which is KL, or "reat", their mean: the authors' code divides by B · d.

    Returns:
        (batch,), in nats; of either sign, and without a least value.

    Raises:
        UserError: if a label is of no class, or a class has no example; they are looked at on the CPU alone.

    Source: REAT (Li et al., 2023, arXiv:2307.10205) and its code (`loss_functions.py:37-72`), where the tail are
    labels, not counts; see `in_tail`.
    """
    check_counts(class_counts)
    there, here = labels.device.type, features.device.type
    require(there == here, f"labels: expected them on {here}, as the features are, got {there}")
    if here == "cpu":
        require_labels(labels, len(class_counts))
    return alignment_of(features, labels.long(), class_counts, reduction)


@checked
def in_tail(class_counts: ClassCounts) -> Bool[Tensor, " classes"]:
    """Return which classes are the tail: those with no more examples than the ⌊C / 3⌋-th rarest class (C ≥ 3).

    Of ten that are three, of 100 thirty-three, as in REAT; classes that tie with the last of them are in it, too, so
    that no order of the labels counts. Of two classes it is the rarer one.

    Args:
        class_counts: (classes,), training examples of each class, at least 1.
    """
    check_counts(class_counts)
    return tail_of(torch.as_tensor(class_counts))


def tail_of(class_counts: Tensor) -> Bool[Tensor, " classes"]:
    """Return `in_tail` of what is known to be counts."""
    return class_counts <= class_counts.sort().values[max(1, len(class_counts) // 3) - 1]


def alignment_of(
    features: Features, labels: Labels, class_counts: ClassCounts, reduction: TailReduction
) -> Float[Tensor, " batch"]:
    """Return `tail_alignment` of what is known to be right: to look at labels is to wait for them."""
    with torch.autocast(features.device.type, enabled=False):
        log_q = F.log_softmax(features.to(torch.promote_types(features.dtype, torch.float32)), dim=1)
        p, n = log_q.detach().exp(), torch.as_tensor(class_counts, device=features.device)
        # From here on seen from their mean, which cancels out: differences of numbers near −ln d would be rounded.
        log_q = log_q - log_q.detach().mean(dim=0)
        log_p = log_q.detach()
        v = (n.sum() / n.to(p)).sqrt()
        # s (v_i + v_j) is one number for all j of a class: what is summed over j is summed class by class, and no
        # matrix of pairs is made. v_c Σ_j + Σ_j v_j counts the anchor's own class with +1, − 4 v_c turns that round.
        own = (labels == torch.arange(len(n), device=labels.device)[:, None]).to(p)
        logs, count = own @ log_q, own.sum(dim=1)
        towards = v[:, None] * (logs.sum(dim=0) - 4 * logs) + v @ logs
        factor = v * (count.sum() - 4 * count) + v @ count
        values = factor[labels] * (p * log_p).sum(dim=1) - (p * towards[labels]).sum(dim=1)
        mean = values / len(labels) / (1 if reduction == "sum" else features.shape[1])
        return mean * tail_of(n)[labels]


@dataclass(frozen=True, kw_only=True)
class TailAlignment(FeatureLoss, name="tail-alignment", aliases=("tail",)):
    """REAT's tail alignment (Li et al., 2023): KL divergences between the features of rare anchors and all others.

    It lowers those to features of other classes, and raises those within a class, weighed by √(N / n). Rare is the last
    third of the classes by their counts; classes that tie with it are rare, too.
    """

    reduction: TailReduction = "sum"
    """Of a pair's features: sum, which is KL, or reat, their mean as in the authors' code, smaller by their number."""

    def __call__(
        self,
        features: Features,
        labels: Labels,
        memory: Memory | None = None,
        class_counts: ClassCounts | None = None,
    ) -> FeatureTerm | None:
        """Return `tail_alignment`, counted over the anchors of the tail."""
        del memory
        if class_counts is None:
            raise UserError("class_counts: expected the examples of each class, got none")
        tail = tail_of(torch.as_tensor(class_counts, device=features.device))
        return FeatureTerm(alignment_of(features, labels, class_counts, self.reduction), tail[labels])

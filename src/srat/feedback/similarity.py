"""Class-wise factors by which classes are taken for which, as DAFA has them."""

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require_amount, require_field
from srat.feedback.base import Feedback, HeldOut, Labels, Logits, first_epoch

Similarity = Float[Tensor, "classes classes"]


@checked
def similarity_factors(similarity: Similarity, strength: float = 1.0) -> Float[Tensor, " classes"]:
    """Return W: for each pair with S_ii < S_jj, W_i = 1 + Σ_j λ S_ij S_jj, and W_j is less by as much.

    The harder class of a pair gains what the easier one loses, the more so the more alike they are; ΣW is the number
    of classes. Where they are many and alike, a W may be 0 or less.

    Args:
        similarity: S, (classes, classes): S_ij is the mean of softmax_j over the images of class i, in [0, 1].
        strength: λ, 0 or more.

    Returns:
        (classes,), 1 on average.

    Raises:
        UserError: if λ is negative.

    Source: Lee et al., 2024 (DAFA), Eq. 5.
    """
    require_field(strength >= 0, "strength", "0 or more", strength, 0)
    right = similarity.diagonal()
    given = strength * similarity * right * (right[:, None] < right)
    return 1 + given.sum(dim=1) - given.sum(dim=0)


def check_similarity(strength: float, floor: float, family: str) -> None:
    """Raise ``UserError`` unless λ and floor are such; ``family`` says whose."""
    require_amount(strength, f"{family}.strength")
    require_field(0 < floor <= 1, f"{family}.floor", "above 0 and at most 1", floor, 0, 1)


class SimilarityFeedback(Feedback):
    """The factors of `similarity_factors`, set once: the matrix is gathered in the epoch before.

    Args:
        classes: how many there are.
        strength: λ.
        start: part of the run before the factors apply.
        floor: the least factor.
    """

    sums: Float[Tensor, "classes classes"]
    """Of the softmax over the images of each class, in this epoch."""

    def __init__(self, classes: int, *, strength: float, start: float, floor: float) -> None:
        super().__init__(classes)
        self.strength, self.start, self.floor = strength, start, floor
        self.register_buffer("sums", torch.zeros(classes, classes, dtype=torch.float64))

    @override
    def observe(self, labels: Labels, logits: Logits) -> None:
        of_class = labels == torch.arange(len(self.factors), device=labels.device)[:, None]
        self.sums += of_class.double() @ logits.double().softmax(dim=1)

    @override
    def close(self, epoch: int, *, epochs: int, held_out: HeldOut | None) -> None:
        del held_out
        # Once; later than that only if a guard has undone the epoch in which they were set.
        if epoch + 1 >= first_epoch(self.start, epochs) and bool((self.factors == 1).all()):
            # A row sums to the number of its images; that of a class without any is 0, so that it has W = 1.
            means = self.sums / self.sums.sum(dim=1, keepdim=True).clamp(min=1)
            self.factors.copy_(similarity_factors(means, self.strength).clamp(min=self.floor))
        self.sums.zero_()

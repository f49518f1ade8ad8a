"""A head whose class vectors are as far apart as they can be."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require, require_amount
from srat.models import Classifier
from srat.models.heads import class_vectors
from srat.regularizers.base import Regularizer

Vectors = Float[Tensor, "classes dimensions"]


@checked
def simplex_deviation(vectors: Vectors) -> Float[Tensor, ""]:
    """Return 1/C² Σ_jk (cos(w_j, w_k) − G_jk)², G the cosines in a simplex: 1 on the diagonal, −1/(C − 1) off it.

    It is 0 for vectors whose directions are a simplex equiangular tight frame, which C − 1 dimensions have room for.

    Args:
        vectors: w, (classes, dimensions), two classes at the least; their lengths do not matter.

    Returns:
        A number, 0 or more; 1/C² Σ_jk of a vector of length 0 takes its cosines to be 0.

    Raises:
        UserError: if there are fewer than two vectors.

    Source: MCAT (IJCAI 2026), geometry regulariser of the head.
    """
    require(len(vectors) >= 2, f"vectors: expected two classes at the least, got {len(vectors)}")
    return deviation_of(vectors)


def deviation_of(vectors: Vectors) -> Float[Tensor, ""]:
    """Return `simplex_deviation` of what is known to be right, in fp32 at the least."""
    classes = len(vectors)
    directions = F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=1)
    apart = directions.new_full((classes, classes), -1 / (classes - 1)).fill_diagonal_(1)
    return (directions @ directions.T - apart).square().mean()


@dataclass(frozen=True, kw_only=True)
class SimplexHead(Regularizer, name="simplex-head", aliases=("etf",)):
    """Draw the head's class vectors to a simplex (MCAT, 2026): each as far from every other, rare or not.

    The mean squared deviation of their cosines from those of a simplex equiangular tight frame.
    """

    weight: float = 1.0
    """What the deviation is multiplied by (the authors: 1.0 in their code, 3e-3 in their appendix)."""

    def __post_init__(self) -> None:
        require_amount(self.weight, "regularizer.weight")

    @override
    def check(self, model: Classifier, *, classes: int) -> None:
        vectors, kind = class_vectors(model.head), type(model.head).__name__
        got = kind if vectors is None else f"{kind} of {len(vectors)} rows"
        told = f"`regularizer` {self.name}: expected a linear or cosine head with a row for each of {classes} classes"
        require(vectors is not None and len(vectors) == classes, f"{told}, got {got}")

    def __call__(self, model: Classifier) -> Float[Tensor, ""] | None:
        """Return the weight times `simplex_deviation` of the head's class vectors."""
        vectors = class_vectors(model.head)
        assert vectors is not None
        return self.weight * deviation_of(vectors)

"""The feature separation loss (Eq. 6)."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from srat.core.checked import checked
from srat.core.errors import UserError, require_field
from srat.core.words import number
from srat.data.counts import ClassCounts, anywhere
from srat.feature_losses.base import FeatureLoss, Features, FeatureTerm, Labels, Memory

_LEAST = 1e-30
"""Of τ: floating point still holds 1/τ."""
_CHUNK = 1 << 21
"""Pairs that are looked at at once: larger batches take their anchors in parts, so that memory grows linearly."""
Others = tuple[Float[Tensor, "others dimensions"], Int[Tensor, " others"]]
"""Features and labels of earlier steps; a label of −1 stands for a feature that is not there."""


@checked
def separation(
    features: Features, labels: Labels, temperature: float = 0.1, *, normalize: bool = True
) -> Float[Tensor, " batch"]:
    """Return each anchor's separation loss, −1/|P(i)| Σ_{p ∈ P(i)} log( exp(z_i·z_p/τ) / Σ_{a ≠ i} exp(z_i·z_a/τ) ).

    P(i) are the other examples of the anchor's class in the batch. An anchor without any has loss 0 and a zero
    gradient.

    Args:
        features: z, (batch, dimensions), any scale.
        labels: (batch,), integers.
        temperature: τ > 0; the paper does not give it, Khosla et al. take 0.1.
        normalize: divide each z by its length first, as Khosla et al. do.

    Returns:
        (batch,), in nats.

    Raises:
        UserError: if the labels are not one for each row of features, τ is not positive, or a product of features is
            beyond floating point; their values are looked at on the CPU alone.

    Source: Eq. 6, after the supervised contrastive loss of Khosla et al., 2020, on one view.
    """
    check_temperature(temperature, "temperature")
    _check_products(features, 1.0 if normalize else temperature)
    return separation_of(features, labels, temperature, normalize=normalize)


def separation_of(
    features: Features,
    labels: Labels,
    temperature: float,
    *,
    normalize: bool,
    others: Others | None = None,
) -> Float[Tensor, " batch"]:
    """Return `separation` of what is known to be right: to look at features is to wait for them.

    Args:
        features: as in `separation`.
        labels: likewise.
        temperature: likewise.
        normalize: likewise.
        others: features and labels of earlier steps, which stand beside the batch's in P(i) and in the sum over a;
            they are no anchors and get no gradient. A label of −1 stands for a feature that is not there.
    """
    with torch.autocast(features.device.type, enabled=False):
        z = _scaled(features, normalize=normalize)
        pool, pool_labels = z.detach(), labels
        if others is not None:
            pool = torch.cat((pool, _scaled(others[0], normalize=normalize)))
            pool_labels = torch.cat((labels, others[1]))
        losses: Tensor = _Separation.apply(z, labels, pool, pool_labels, temperature)  # type: ignore[no-untyped-call]
    return losses


def _scaled(features: Float[Tensor, "n dimensions"], *, normalize: bool) -> Float[Tensor, "n dimensions"]:
    return F.normalize(_wide(features), dim=1) if normalize else _wide(features)


def _wide(features: Float[Tensor, "n dimensions"]) -> Float[Tensor, "n dimensions"]:
    return features.float() if features.dtype in (torch.bfloat16, torch.float16) else features


def _check_products(features: Features, temperature: float) -> None:
    """Raise ``UserError`` if a row's product with itself, over τ, is no finite number."""
    if features.device.type != "cpu":
        return
    with torch.no_grad():
        z = _wide(features)
        bad = ~(torch.linalg.vector_norm(z, dim=1).square() / temperature).isfinite()
    if anywhere(bad):
        row = int(bad.nonzero()[0])
        largest, kind = float(z[row].abs().max()), str(z.dtype).removeprefix("torch.")
        wanted = f"numbers whose squares {kind} holds" if math.isfinite(largest) else "finite numbers"
        raise UserError(f"features: expected {wanted}, got {number(largest)} in row {row}")


class _Separation(Function):
    """The loss of given z, with its gradient in closed form: of a large batch's pairs nothing is kept in between."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, labels: Tensor, pool: Tensor, pool_labels: Tensor, temperature: float) -> Tensor:
        ctx.temperature = temperature
        chunks = _chunks(len(z), len(pool))
        if len(chunks) == 1:
            losses, slope = _anchors(labels, pool, pool_labels, temperature, chunks[0])
            ctx.save_for_backward(labels, pool, pool_labels, slope)
            return losses
        ctx.save_for_backward(labels, pool, pool_labels)
        return torch.cat([_anchors(labels, pool, pool_labels, temperature, rows)[0] for rows in chunks])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        labels, pool, pool_labels, *kept = ctx.saved_tensors
        n = len(labels)
        gradient = torch.zeros_like(pool[:n])
        for rows in _chunks(n, len(pool)):
            slope = kept[0] if kept else _anchors(labels, pool, pool_labels, ctx.temperature, rows)[1]
            slope = slope * upstream[rows, None]
            gradient[rows].addmm_(slope, pool)
            gradient.addmm_(slope[:, :n].T, pool[rows])
        return gradient, None, None, None, None


def _chunks(anchors: int, pool: int) -> list[slice]:
    size = max(1, _CHUNK // max(pool, 1))
    return [slice(start, min(start + size, anchors)) for start in range(0, max(anchors, 1), size)]


def _anchors(
    labels: Tensor, pool: Tensor, pool_labels: Tensor, temperature: float, rows: slice
) -> tuple[Tensor, Tensor]:
    """Return L of the anchors ``rows``, and ∂L_i/∂(z_i·z_j) = (softmax_{a ≠ i}(S_i)_j − [j ∈ P(i)]/|P(i)|) / τ.

    The anchors are the first of the pool.
    """
    similarity = (pool[rows] @ pool.T).div_(temperature)
    # A finite fill: a batch of one has nobody else, and logsumexp over −∞ alone would have a NaN gradient.
    similarity.diagonal(rows.start).fill_(torch.finfo(pool.dtype).min)
    if len(pool) > len(labels):
        similarity.masked_fill_(pool_labels < 0, torch.finfo(pool.dtype).min)
    positive = (labels[rows, None] == pool_labels).to(pool.dtype)
    positive.diagonal(rows.start).zero_()
    counts = positive.sum(dim=1, keepdim=True)
    shares = positive.div_(counts.clamp(min=1))
    counted = counts.clamp(max=1)
    log_sums = similarity.logsumexp(dim=1, keepdim=True)
    losses = (counted * log_sums).squeeze(1) - (shares * similarity).sum(dim=1)
    slope = similarity.sub_(log_sums).exp_().mul_(counted).sub_(shares).div_(temperature)
    return losses, slope


@checked
def has_positive(labels: Labels) -> Bool[Tensor, " batch"]:
    """Return for each anchor whether another example of its class is in the batch.

    Args:
        labels: (batch,), integers from 0.
    """
    return positive_of(labels)


def positive_of(labels: Labels) -> Bool[Tensor, " batch"]:
    """Return `has_positive` of what is known to be labels."""
    ordered, order = labels.sort()
    same = ordered[1:] == ordered[:-1]
    nobody = same.new_zeros(1)
    return torch.empty_like(labels, dtype=torch.bool).scatter_(
        0, order, torch.cat((same, nobody)) | torch.cat((nobody, same))
    )


def check_temperature(temperature: float, where: str) -> None:
    """Raise ``UserError`` unless τ is positive; ``where`` says whose."""
    require_field(temperature > 0, where, "a positive number", temperature, 0)
    require_field(temperature >= _LEAST, where, f"at least {_LEAST:g}", temperature, _LEAST)


@dataclass(frozen=True, kw_only=True)
class Separation(FeatureLoss, name="separation"):
    """Feature separation (Eq. 6): features of a class gather, features of different classes part."""

    temperature: float = 0.1
    """τ; small values look at the nearest examples only."""
    normalize: bool = True
    """Compare directions only, not lengths."""
    projection_dimensions: int = 0
    """Put a projection of this many dimensions between features and loss; 0 for none."""

    def __post_init__(self) -> None:
        check_temperature(self.temperature, "feature_loss.temperature")
        dimensions = self.projection_dimensions
        require_field(dimensions >= 0, "feature_loss.projection_dimensions", "0 or more", dimensions)

    @property
    def projection(self) -> int:
        """Dimensions of the projection; 0 for none."""
        return self.projection_dimensions

    def __call__(
        self,
        features: Features,
        labels: Labels,
        memory: Memory | None = None,
        class_counts: ClassCounts | None = None,
    ) -> FeatureTerm | None:
        """Return `separation`, counted over the anchors that have a positive."""
        del memory, class_counts
        return self.beside(features, labels, None)

    def beside(self, features: Features, labels: Labels, others: Others | None) -> FeatureTerm:
        """Return `separation_of`, counted over the anchors that have a positive in the batch or among the others."""
        values = separation_of(features, labels, self.temperature, normalize=self.normalize, others=others)
        everyone = labels if others is None else torch.cat((labels, others[1]))
        return FeatureTerm(values, positive_of(everyone)[: len(labels)])

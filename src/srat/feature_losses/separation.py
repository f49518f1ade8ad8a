"""The feature separation loss (Eq. 6)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from srat.errors import require
from srat.feature_losses.base import FeatureLoss, Features, FeatureTerm, Labels


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

    Source: Eq. 6, after the supervised contrastive loss of Khosla et al., 2020, on one view.
    """
    z = F.normalize(features, dim=1) if normalize else features
    similarity = z @ z.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    # A finite fill: a batch of one has nobody else, and logsumexp over −∞ alone would have a NaN gradient.
    others = similarity.masked_fill(itself, torch.finfo(similarity.dtype).min)
    log_probability = similarity - others.logsumexp(dim=1, keepdim=True)
    positive = _positives(labels)
    total = log_probability.masked_fill(~positive, 0).sum(dim=1)
    return -total / positive.sum(dim=1).clamp(min=1)


def has_positive(labels: Labels) -> Bool[Tensor, " batch"]:
    """Return for each anchor whether another example of its class is in the batch."""
    return _positives(labels).any(dim=1)


def _positives(labels: Labels) -> Bool[Tensor, "batch batch"]:
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return (labels[:, None] == labels[None, :]) & ~itself


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
        require(
            self.temperature > 0, f"--feature-loss.temperature: expected a positive number, got {self.temperature:g}"
        )
        require(
            self.projection_dimensions >= 0,
            f"--feature-loss.projection-dimensions: expected 0 or more, got {self.projection_dimensions}",
        )

    @property
    def projection(self) -> int:
        """Dimensions of the projection; 0 for none."""
        return self.projection_dimensions

    def __call__(self, features: Features, labels: Labels) -> FeatureTerm | None:
        """Return :func:`separation`, counted over the anchors that have a positive."""
        return FeatureTerm(
            separation(features, labels, self.temperature, normalize=self.normalize), has_positive(labels)
        )

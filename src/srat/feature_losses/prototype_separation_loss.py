"""The feature separation loss over the batch and a prototype of each class."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from srat.core.errors import UserError, require_field
from srat.data.counts import ClassCounts
from srat.feature_losses.base import Features, FeatureTerm, Labels, Memory
from srat.feature_losses.separation_loss import Separation


class Prototypes(Memory):
    """The running mean of each class's features, p ← m p + (1 − m) z̄ after each step in which the class came.

    z̄ is the mean over the class's features in that step, which the first p is. What is not finite, as in a step that
    fp16 leaves out, is passed over.

    Args:
        classes: how many there are.
        dimensions: of a feature.
        momentum: m.
        normalize: take the mean of directions, not of features.
    """

    features: Float[Tensor, "classes dimensions"]
    """p, in fp32 at the least."""
    labels: Int[Tensor, " classes"]
    """The classes; −1 where nothing has come yet."""

    def __init__(self, classes: int, dimensions: int, *, momentum: float, normalize: bool) -> None:
        super().__init__()
        self.momentum, self.normalize = momentum, normalize
        self.register_buffer("features", torch.zeros(classes, dimensions))
        self.register_buffer("labels", torch.full((classes,), -1))

    @torch.no_grad()
    @override
    def remember(self, features: Features, labels: Labels) -> None:
        """Move the prototypes of the classes that are there."""
        z = features.to(self.features.dtype)
        z = F.normalize(z, dim=1) if self.normalize else z
        classes = torch.arange(len(self.labels), device=labels.device)
        # A product, not a scattered sum: that rounds in another order each time on a GPU.
        own = ((labels == classes[:, None]) & z.isfinite().all(dim=1)).to(z.dtype)
        count = own.sum(dim=1, keepdim=True)
        mean = own @ z.nan_to_num(0.0, 0.0, 0.0) / count.clamp(min=1)
        known, came = (self.labels >= 0)[:, None], count > 0
        moved = torch.where(known, self.features.lerp(mean, 1 - self.momentum), mean)
        self.features.copy_(torch.where(came, moved, self.features))
        self.labels.copy_(torch.where(came[:, 0], classes, self.labels))


@dataclass(frozen=True, kw_only=True)
class PrototypeSeparation(Separation, name="separation-prototypes"):
    """Feature separation over the batch and a prototype of each class, so that each anchor has a positive.

    A prototype is the running mean direction of the class's features under attack in earlier steps. It stands beside
    the batch's features as one more of its class, and gets no gradient. A class that has not come yet has none.
    """

    momentum: float = 0.9
    """m, of the running mean over the steps in which the class came: 0.9 for about the last ten."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_field(0 <= self.momentum < 1, "feature_loss.momentum", "0 or more and less than 1", self.momentum, 0, 1)

    @override
    def memory(self, *, dimensions: int, classes: int) -> Memory | None:
        return Prototypes(classes, dimensions, momentum=self.momentum, normalize=self.normalize)

    def __call__(
        self,
        features: Features,
        labels: Labels,
        memory: Memory | None = None,
        class_counts: ClassCounts | None = None,
    ) -> FeatureTerm | None:
        """Return `separation` with the prototypes beside the batch, counted over the anchors that have a positive."""
        del class_counts
        if not isinstance(memory, Prototypes):
            raise UserError("memory: expected the prototypes that `memory(…)` makes, got none")
        return self.beside(features, labels, (memory.features, memory.labels))

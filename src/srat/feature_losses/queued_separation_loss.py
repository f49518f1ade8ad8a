"""The feature separation loss over the batch and a queue of earlier features."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from srat.core.errors import UserError, require_field
from srat.data.counts import ClassCounts
from srat.feature_losses.base import Features, FeatureTerm, Labels, Memory
from srat.feature_losses.separation_loss import Separation

_MOST = 1 << 20


class Queue(Memory):
    """The last features and their classes; a new one takes the place of the oldest.

    Args:
        size: how many are kept.
        dimensions: of a feature.
    """

    features: Float[Tensor, "size dimensions"]
    labels: Int[Tensor, " size"]
    """−1 where nothing has come yet."""
    oldest: Int[Tensor, ""]
    """Where the next feature goes."""

    def __init__(self, size: int, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(size, dimensions))
        self.register_buffer("labels", torch.full((size,), -1))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    @override
    def remember(self, features: Features, labels: Labels) -> None:
        """Put a batch, or the last of it that the queue holds, in the place of the oldest features."""
        size = len(self.labels)
        features, labels = features[-size:], labels[-size:]
        finite = features.isfinite().all(dim=1)  # not so in a step that fp16 leaves out
        features, labels = features.where(finite[:, None], 0), labels.where(finite, -1)
        places = (self.oldest + torch.arange(len(labels), device=labels.device)) % size
        self.features[places] = features.to(self.features.dtype)
        self.labels[places] = labels
        self.oldest.add_(len(labels)).remainder_(size)


@dataclass(frozen=True, kw_only=True)
class QueuedSeparation(Separation, name="separation-queue"):
    """Feature separation over the batch and a queue of earlier features (as He et al., 2020, and Wang et al., 2020).

    Anchors are those of the batch. On Step-100 most anchors of a rare class have no positive in a batch of 128.
    """

    size: int = 1024
    """Features of earlier steps that are kept."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_field(1 <= self.size <= _MOST, "feature_loss.size", f"1 to {_MOST:,}", self.size)

    @override
    def memory(self, *, dimensions: int, classes: int) -> Memory | None:
        del classes
        return Queue(self.size, dimensions)

    def __call__(
        self,
        features: Features,
        labels: Labels,
        memory: Memory | None = None,
        class_counts: ClassCounts | None = None,
    ) -> FeatureTerm | None:
        """Return `separation` with the queue beside the batch, counted over the anchors that have a positive."""
        del class_counts
        if not isinstance(memory, Queue):
            raise UserError("memory: expected the queue that `memory(…)` makes, got none")
        return self.beside(features, labels, (memory.features, memory.labels))

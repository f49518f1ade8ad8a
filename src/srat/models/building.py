"""A model for a data set."""

import torch
from torch import nn

from srat.core.checked import checked
from srat.core.errors import require, require_field
from srat.core.keyed_random import derive_seed
from srat.data.counts import ClassCounts, check_counts
from srat.models.classifier import Architecture, Classifier, ImageShape, Normalization
from srat.models.heads import Head

_MOST = 1 << 20
"""Of classes, and of a projection's dimensions."""


@checked
def build(
    architecture: Architecture,
    head: Head,
    *,
    shape: ImageShape,
    classes: int,
    mean: torch.Tensor,
    std: torch.Tensor,
    projection: int = 0,
    class_counts: ClassCounts | None = None,
    seed: int = 0,
) -> Classifier:
    """Return a freshly initialised classifier; its weights depend on the seed alone.

    Args:
        architecture: the backbone.
        head: the last layer.
        shape: channels, height and width of the images.
        classes: number of logits.
        mean: (channels,), of the training images, in [0, 1] pixel units.
        std: (channels,), likewise.
        projection: dimensions of a projection for the feature loss (ReLU between two linear layers); 0 for none.
        class_counts: (classes,), examples of each class that training draws, at least 1; None if the head serves
            logits that take no account of them (``tau`` 0).
        seed: the run's seed.

    Raises:
        UserError: if there are fewer than two classes, fewer dimensions than none, a statistic is not one for each
            channel, or a count is not one for each class, where the head takes account of them.
    """
    require(2 <= classes <= _MOST, f"classes: expected 2 to {_MOST:,}, got {classes}")
    require(0 <= projection <= _MOST, f"projection: expected 0 to {_MOST:,} dimensions, got {projection}")
    for name, each in (("mean", mean), ("std", std)):
        wanted = f"{name}: expected a number for each of {shape.channels} channels, got shape {tuple(each.shape)}"
        require(each.shape == (shape.channels,), wanted)
    require_field(head.tau == 0 or class_counts is not None, "head.tau", "0 without `class_counts`", head.tau, 0)
    counts = (1,) * classes if class_counts is None else class_counts
    if head.tau:
        check_counts(counts, classes=classes)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, "init"))
        backbone, dimensions = architecture.backbone(shape)
        normalization = Normalization(*architecture.normalization(mean, std))
        last = head.served(head.build(dimensions, classes), counts)
        mlp = (
            nn.Sequential(nn.Linear(dimensions, dimensions), nn.ReLU(), nn.Linear(dimensions, projection))
            if projection
            else None
        )
    # Residual networks train faster where the channels of a pixel lie together (docs/log.md).
    if not _breaks_in_channels_last(backbone):
        backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    normalization.channels = shape.channels
    model = Classifier(normalization, backbone, last, mlp)
    model._shape = (shape.channels, shape.height, shape.width)
    return model


def _breaks_in_channels_last(backbone: nn.Module) -> bool:
    """Return whether oneDNN's gradient of a convolution would write past its memory (uxlfoundation/oneDNN#6035).

    It does in strided 1 × 1 convolutions of fewer channels than a register of 16 holds.
    """
    return any(
        module.kernel_size == (1, 1) and max(module.stride) > 1 and module.in_channels // module.groups < 16
        for module in backbone.modules()
        if isinstance(module, nn.Conv2d)
    )

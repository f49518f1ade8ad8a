"""The linear model, on which attacks have closed forms."""

from dataclasses import dataclass

from torch import nn

from srat.models.classifier import Architecture, ImageShape


@dataclass(frozen=True, kw_only=True)
class Linear(Architecture, name="linear"):
    """No backbone: the features are the normalised pixels."""

    def backbone(self, shape: ImageShape) -> tuple[nn.Module, int]:
        """Return ``nn.Flatten``."""
        return nn.Flatten(), shape.channels * shape.height * shape.width

"""The linear model, on which attacks have closed forms."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from typing_extensions import override

from srat.models.classifier import Architecture, ImageShape


@dataclass(frozen=True, kw_only=True)
class Linear(Architecture, name="linear"):
    """No backbone: the features are the normalised pixels."""

    learns_features: ClassVar[bool] = False

    @override
    def backbone(self, shape: ImageShape) -> tuple[nn.Module, int]:
        return nn.Flatten(), shape.channels * shape.height * shape.width

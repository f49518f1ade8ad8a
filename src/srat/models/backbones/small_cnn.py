"""A small convolutional network, for the CPU."""

from dataclasses import dataclass

from torch import nn
from typing_extensions import override

from srat.core.errors import require_field
from srat.models.classifier import Architecture, ImageShape


def small_cnn_backbone(channels: int, width: int = 32) -> nn.Sequential:
    """Return four 3 × 3 convolutions with BatchNorm at 1, 1, 2, 2 × width, halving the image twice, then 2 × 2 pooling.

    Args:
        channels: of the images.
        width: channels of the first convolution.

    Returns:
        (batch, channels, height, width) → (batch, 8 · width).
    """
    layers: list[nn.Module] = []
    inputs = channels
    for outputs, stride in ((width, 1), (width, 2), (2 * width, 1), (2 * width, 2)):
        layers += [
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())


@dataclass(frozen=True, kw_only=True)
class SmallCNN(Architecture, name="small-cnn"):
    """Four convolutions: enough for digits, quick on a CPU."""

    width: int = 32
    """Channels of the first convolution."""

    def __post_init__(self) -> None:
        require_field(1 <= self.width <= 1024, "model.width", "1 to 1024 channels", self.width)

    @override
    def backbone(self, shape: ImageShape) -> tuple[nn.Module, int]:
        return small_cnn_backbone(shape.channels, self.width), 8 * self.width

"""Pre-activation ResNet-18 for small images."""

from dataclasses import dataclass

from torch import nn
from typing_extensions import override

from srat.core.errors import require_field
from srat.models.backbones.wide_resnet import PreActivationBlock
from srat.models.classifier import Architecture, ImageShape


def preact_resnet18_backbone(channels: int, width: int = 64) -> nn.Sequential:
    """Return PreActResNet-18's body: a 3 × 3 stem, stages of 2 blocks at 1, 2, 4, 8 × width, BatchNorm, mean pooling.

    Args:
        channels: of the images.
        width: channels of the first stage; 64 is the usual one (11.17 million parameters).

    Returns:
        (batch, channels, height, width) → (batch, 8 · width).

    Source: He et al., 2016 (Identity Mappings); stem and last BatchNorm as Rice et al., 2020, and Wu et al., 2020,
    train it.
    """
    blocks: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
    inputs = width
    for stage, outputs in enumerate((width, 2 * width, 4 * width, 8 * width)):
        blocks += [
            PreActivationBlock(inputs, outputs, stride=1 if stage == 0 else 2),
            PreActivationBlock(outputs, outputs, stride=1),
        ]
        inputs = outputs
    return nn.Sequential(*blocks, nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@dataclass(frozen=True, kw_only=True)
class PreActResNet18(Architecture, name="preact-resnet18"):
    """Pre-activation ResNet-18 with a stem for 32 × 32 images (He et al., 2016)."""

    width: int = 64
    """Channels of the first stage."""

    def __post_init__(self) -> None:
        require_field(1 <= self.width <= 1024, "model.width", "1 to 1024 channels", self.width)

    @property
    @override
    def title(self) -> str:
        return "PreActResNet-18" + ("" if self.width == 64 else f" of width {self.width}")

    @override
    def backbone(self, shape: ImageShape) -> tuple[nn.Module, int]:
        return preact_resnet18_backbone(shape.channels, self.width), 8 * self.width

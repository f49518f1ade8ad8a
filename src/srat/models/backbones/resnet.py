"""ResNet-18 for small images."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from srat.core.errors import require_field
from srat.models.classifier import Architecture, ImageShape


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions with BatchNorm, and a shortcut around them.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs _ _"]:
        """Return relu(block(x) + shortcut(x))."""
        inner = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        return F.relu(inner.add_(self.shortcut(x)), inplace=True)


def resnet18_backbone(channels: int, width: int = 64) -> nn.Sequential:
    """Return ResNet-18's body for 32 × 32 images: a 3 × 3 stem, stages of 2 blocks at 1, 2, 4, 8 × width, mean pooling.

    Args:
        channels: of the images.
        width: channels of the first stage; 64 is the usual ResNet-18 (11.2 million parameters).

    Returns:
        (batch, channels, height, width) → (batch, 8 · width).

    Source: He et al., 2016; the stem without max-pooling is the field's for CIFAR.
    """
    blocks: list[nn.Module] = [
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
    inputs = width
    for stage, outputs in enumerate((width, 2 * width, 4 * width, 8 * width)):
        blocks += [BasicBlock(inputs, outputs, stride=1 if stage == 0 else 2), BasicBlock(outputs, outputs, stride=1)]
        inputs = outputs
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@dataclass(frozen=True, kw_only=True)
class ResNet18(Architecture, name="resnet18"):
    """ResNet-18 with a stem for 32 × 32 images (He et al., 2016)."""

    width: int = 64
    """Channels of the first stage."""

    def __post_init__(self) -> None:
        require_field(1 <= self.width <= 1024, "model.width", "1 to 1024 channels", self.width)

    @property
    @override
    def title(self) -> str:
        return "ResNet-18" + ("" if self.width == 64 else f" of width {self.width}")

    @override
    def backbone(self, shape: ImageShape) -> tuple[nn.Module, int]:
        return resnet18_backbone(shape.channels, self.width), 8 * self.width

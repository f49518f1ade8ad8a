"""Wide residual networks for small images."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from srat.core.errors import require_field
from srat.models.classifier import Architecture, ImageShape


class PreActivationBlock(nn.Module):
    """BatchNorm and ReLU before each of two 3 × 3 convolutions, and a shortcut around them.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs _ _"]:
        """Return block(x) + shortcut(x); a shortcut that convolves starts from the activated input."""
        activated = F.relu(self.bn1(x), inplace=True)
        inner: Tensor = self.conv2(F.relu(self.bn2(self.conv1(activated)), inplace=True))
        return inner + (x if self.shortcut is None else self.shortcut(activated))


def wide_resnet_backbone(channels: int, depth: int = 34, widen: int = 10) -> nn.Sequential:
    """Return the body of WRN-depth-widen: a stem of 16, three stages of (depth − 4)/6 blocks at 16, 32, 64 × widen.

    Args:
        channels: of the images.
        depth: 6 · blocks + 4.
        widen: factor on the stages' channels.

    Returns:
        (batch, channels, height, width) → (batch, 64 · widen).

    Source: Zagoruyko and Komodakis, 2016.
    """
    blocks: list[nn.Module] = [nn.Conv2d(channels, 16, 3, padding=1, bias=False)]
    inputs = 16
    for stage, outputs in enumerate((16 * widen, 32 * widen, 64 * widen)):
        for block in range((depth - 4) // 6):
            blocks.append(PreActivationBlock(inputs, outputs, stride=2 if stage > 0 and block == 0 else 1))
            inputs = outputs
    return nn.Sequential(*blocks, nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@dataclass(frozen=True, kw_only=True)
class WideResNet(Architecture, name="wide-resnet"):
    """A wide residual network, WRN-34-10 unless told otherwise (Zagoruyko and Komodakis, 2016)."""

    depth: int = 34
    """6 · blocks + 4."""
    widen: int = 10
    """Factor on the channels."""

    def __post_init__(self) -> None:
        deep = 10 <= self.depth <= 1_000 and self.depth % 6 == 4
        require_field(deep, "model.depth", "6·k + 4 (10, 16, 22, 28, 34, …) up to 1,000", self.depth)
        require_field(1 <= self.widen <= 64, "model.widen", "1 to 64", self.widen)

    @property
    @override
    def title(self) -> str:
        return f"WideResNet-{self.depth}-{self.widen}"

    @override
    def backbone(self, shape: ImageShape) -> tuple[nn.Module, int]:
        return wide_resnet_backbone(shape.channels, self.depth, self.widen), 64 * self.widen

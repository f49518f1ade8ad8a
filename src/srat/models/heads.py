"""From penultimate features to logits."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require, require_field
from srat.core.members import Member
from srat.core.words import number

_MOST = 1 << 24
"""Of a layer's sides."""


class CosineLinear(nn.Module):
    """Scaled cosine similarity of features and class weights: logit_j = s · cos θ_j = s · w_j·z / (‖w_j‖ ‖z‖).

    Args:
        dimensions: length of z.
        classes: number of w_j.
        scale: s > 0; the logits come out at the scale that was trained, so an attack sees what is served.

    Source: Cao et al., 2019 (LDAM-DRW), which scales in the loss; here the head does.
    """

    @checked
    def __init__(self, dimensions: int, classes: int, scale: float = 30.0) -> None:
        super().__init__()
        for name, length in (("dimensions", dimensions), ("classes", classes)):
            require(1 <= length <= _MOST, f"{name}: expected 1 to {_MOST:,}, got {length}")
        require(scale > 0, f"scale: expected a positive number, got {number(scale, 0)}")
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(classes, dimensions))
        nn.init.xavier_uniform_(self.weight)

    @override
    def forward(self, features: Float[Tensor, "batch dimensions"]) -> Float[Tensor, "batch classes"]:
        """Return s · cos θ."""
        return self.scale * F.linear(F.normalize(features, dim=1), F.normalize(self.weight, dim=1))

    @override
    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}, scale={self.scale:g}"


@dataclass(frozen=True, kw_only=True)
class Head(Member):
    """The last layer."""

    def resolve(self, wanted: "Head") -> "Head":
        """Return the head to build for a loss that wants ``wanted``."""
        del wanted
        return self

    def build(self, dimensions: int, classes: int) -> nn.Module:
        """Return the module (batch, dimensions) → (batch, classes)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LossHead(Head, name="auto"):
    """The head that the loss wants: cosine for LDAM, linear for the others."""

    @override
    def resolve(self, wanted: Head) -> Head:
        return wanted


@dataclass(frozen=True, kw_only=True)
class LinearHead(Head, name="linear"):
    """A linear layer with bias."""

    @override
    def build(self, dimensions: int, classes: int) -> nn.Module:
        return nn.Linear(dimensions, classes)


@dataclass(frozen=True, kw_only=True)
class CosineHead(Head, name="cosine"):
    """Scaled cosine similarity, without bias."""

    scale: float = 30.0
    """s, the largest logit."""

    def __post_init__(self) -> None:
        require_field(self.scale > 0, "head.scale", "a positive number", self.scale, 0)

    @override
    def build(self, dimensions: int, classes: int) -> nn.Module:
        return CosineLinear(dimensions, classes, self.scale)

"""From penultimate features to logits."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require, require_field
from srat.core.members import Member, since
from srat.core.words import number
from srat.data.counts import ClassCounts, log_prior

_MOST = 1 << 24
"""Of a layer's sides."""


class CosineLinear(nn.Module):
    """Scaled cosine similarity of features and class weights: logit_j = s · w_j·z / ((‖w_j‖ + γ) ‖z‖).

    With γ = 0 that is s · cos θ_j.

    Args:
        dimensions: length of z.
        classes: number of w_j.
        scale: s > 0; the logits come out at the scale that was trained, so an attack sees what is served.
        gamma: γ ≥ 0; above 0 the lengths of class weights count a little, and w starts from U(±1/√dimensions).

    Source: Cao et al., 2019 (LDAM-DRW), and with γ Wu et al., 2021 (RoBal). They scale in the loss; here the head does.
    """

    @checked
    def __init__(self, dimensions: int, classes: int, scale: float = 30.0, gamma: float = 0.0) -> None:
        super().__init__()
        for name, length in (("dimensions", dimensions), ("classes", classes)):
            require(1 <= length <= _MOST, f"{name}: expected 1 to {_MOST:,}, got {length}")
        require(scale > 0, f"scale: expected a positive number, got {number(scale, 0)}")
        require(0 <= gamma <= 1, f"gamma: expected 0 to 1, got {number(gamma, 0, 1)}")
        self.scale = scale
        self.gamma = gamma
        self.weight = nn.Parameter(torch.empty(classes, dimensions))
        if gamma:
            nn.init.uniform_(self.weight, -(dimensions**-0.5), dimensions**-0.5)
        else:
            nn.init.xavier_uniform_(self.weight)

    @override
    def forward(self, features: Float[Tensor, "batch dimensions"]) -> Float[Tensor, "batch classes"]:
        """Return s · w·z / ((‖w‖ + γ) ‖z‖)."""
        lengths = self.weight.norm(dim=1, keepdim=True).clamp_min(1e-12) + self.gamma
        return self.scale * F.linear(F.normalize(features, dim=1), self.weight / lengths)

    @override
    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}, scale={self.scale:g}, gamma={self.gamma:g}"


class PosthocAdjustment(nn.Module):
    """A last layer that serves z − τ · ln π of its layer's logits z, in eval mode; in train mode it gives z.

    The loss is of z. Whoever asks the model as it is served gets the adjusted logits: evaluation, files, and every
    attack, that of the training step too (`lent`).

    Args:
        layer: (batch, dimensions) → (batch, classes).
        log_prior: ln π, (classes,), of what training draws; a buffer, so that it goes where the weights go.
        tau: τ.

    Source: Menon et al., 2021, Eq. 9.
    """

    log_prior: Tensor

    def __init__(self, layer: nn.Module, log_prior: Float[Tensor, " classes"], tau: float) -> None:
        super().__init__()
        self.layer = layer
        self.tau = tau
        self.register_buffer("log_prior", log_prior)

    @override
    def forward(self, features: Float[Tensor, "batch dimensions"]) -> Float[Tensor, "batch classes"]:
        """Return z, or what is served."""
        logits: Tensor = self.layer(features)
        return logits if self.training else logits - self.tau * self.log_prior

    @override
    def extra_repr(self) -> str:
        return f"tau={self.tau:g}"


def class_vectors(head: nn.Module) -> Float[Tensor, "classes dimensions"] | None:
    """Return w_j of each class, the rows of a linear or cosine head; None of one that has no such rows."""
    layer = head.layer if isinstance(head, PosthocAdjustment) else head
    return layer.weight if isinstance(layer, nn.Linear | CosineLinear) else None


@dataclass(frozen=True, kw_only=True)
class Head(Member):
    """The last layer."""

    tau: float = field(default=0.0, metadata=since(0.0))
    """τ of post-hoc logit adjustment: z − τ · ln π is served, for classes' shares π of what is drawn; 0 serves z."""

    def __post_init__(self) -> None:
        require_field(0 <= self.tau <= 100, "head.tau", "0 to 100", self.tau, 0, 100)

    def resolve(self, wanted: "Head") -> "Head":
        """Return the head to build for a loss that wants ``wanted``."""
        del wanted
        return self

    def build(self, dimensions: int, classes: int) -> nn.Module:
        """Return the module (batch, dimensions) → (batch, classes)."""
        raise NotImplementedError

    def served(self, layer: nn.Module, class_counts: ClassCounts) -> nn.Module:
        """Return what `build` made, as it is served.

        Args:
            layer: the module.
            class_counts: (classes,), examples of each class that training draws, at least 1.
        """
        return PosthocAdjustment(layer, log_prior(class_counts).float(), self.tau) if self.tau else layer


@dataclass(frozen=True, kw_only=True)
class LossHead(Head, name="auto"):
    """The head that the loss wants: cosine for LDAM and RoBal, linear for the others."""

    @override
    def resolve(self, wanted: Head) -> Head:
        return replace(wanted, tau=self.tau)


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
    gamma: float = field(default=0.0, metadata=since(0.0))
    """γ: class weights are divided by ‖w‖ + γ, so that their lengths count a little; 0 for the cosine itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_field(0 <= self.gamma <= 1, "head.gamma", "0 to 1", self.gamma, 0, 1)
        require_field(self.scale > 0, "head.scale", "a positive number", self.scale, 0)

    @override
    def build(self, dimensions: int, classes: int) -> nn.Module:
        return CosineLinear(dimensions, classes, self.scale, self.gamma)

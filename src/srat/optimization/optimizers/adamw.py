"""Adam with decoupled weight decay."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from typing_extensions import override

from srat.core.errors import require_field
from srat.optimization.optimizers.base import Optimizer, check_weight_decay


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer, name="adamw"):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), for transformers and fine-tuning.

    With moving averages m of the gradient and v of its square, freed of their bias towards 0 at the start,
    w ← w − γ (m / (√v + ϵ) + λ w).
    """

    learning_rate: float = 1e-3
    """γ, which the schedule multiplies."""
    beta1: float = 0.9
    """Decay of the gradient's moving average."""
    beta2: float = 0.999
    """Decay of its square's."""
    stability: float = 1e-8
    """ϵ, added to √v."""
    weight_decay: float = 0.01
    """λ, multiplied by the learning rate, apart from the gradient."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beta1", "beta2"):
            beta = getattr(self, name)
            require_field(0 <= beta < 1, f"optimizer.{name}", f"0 ≤ {name} < 1", beta, 0, 1)
        small = self.stability
        require_field(0 < small < 1, "optimizer.stability", "a number between 0 and 1", small, 0, 1)
        check_weight_decay(self.weight_decay)

    @override
    def make(self, parameters: Iterable[nn.Parameter], *, scaled: bool = False) -> torch.optim.Optimizer:
        """Return torch's fused AdamW, whose slots begin at zero whether or not a step is left out."""
        del scaled
        return torch.optim.AdamW(
            parameters,
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.stability,
            weight_decay=self.weight_decay,
            fused=True,
        )

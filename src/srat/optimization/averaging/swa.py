"""Stochastic weight averaging."""

import math
from dataclasses import dataclass

from typing_extensions import override

from srat.optimization.averaging.base import Estimated, check_start


@dataclass(frozen=True, kw_only=True)
class SWA(Estimated, name="swa"):
    """Stochastic weight averaging (Izmailov et al., 2018): the equal mean of the weights at the ends of epochs.

    BatchNorm's statistics are averaged likewise, unless they are estimated anew (`batch_norm`).
    """

    start: float = 0.75
    """Part of the run after which the mean begins; until then it is the weights at the end of the epoch."""

    def __post_init__(self) -> None:
        check_start(self.start)

    @override
    def share(self, step: int, *, steps: int, epochs: int) -> float:
        """Return 1/k at the end of the k-th epoch of the mean, 0 within epochs."""
        epoch, rest = divmod(step + 1, steps)
        if rest:
            return 0.0
        return 1 / max(1, epoch - min(math.floor(self.start * epochs + 1e-9), epochs - 1))

"""No weight average."""

from dataclasses import dataclass

from torch import nn
from typing_extensions import override

from srat.optimization.averaging.base import Averaging


@dataclass(frozen=True, kw_only=True)
class NoAveraging(Averaging, name="none"):
    """Serve the weights of the last step."""

    @override
    def begin(self, model: nn.Module) -> nn.Module | None:
        del model
        return None

"""No weight average."""

from dataclasses import dataclass

from torch import nn

from srat.optimization.averaging.base import Averaging


@dataclass(frozen=True, kw_only=True)
class NoAveraging(Averaging, name="none"):
    """Serve the weights of the last step."""

    def begin(self, model: nn.Module) -> nn.Module | None:
        """Return None."""
        del model
        return None

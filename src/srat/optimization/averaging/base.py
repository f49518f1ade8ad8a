"""What a weight average is: a second model, drawn a share of the way to the trained one after each step."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from srat.core.errors import require, require_field
from srat.core.members import Member
from srat.models.classifier import BatchNorm

_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, kw_only=True)
class Averaging(Member):
    """An average a of the weights w over the steps, a ← a + share · (w − a)."""

    def begin(self, model: nn.Module) -> nn.Module | None:
        """Return what becomes the average, a copy of the model in eval mode; None if there is to be no average.

        Raises:
            UserError: if its weights are in half precision, which would lose small shares.
        """
        half = sorted({str(p.dtype).removeprefix("torch.") for p in model.parameters() if p.dtype in _HALF})
        require(
            not half, f"`averaging`: expected a model with fp32 weights, got {', '.join(half)}; model.float() helps"
        )
        return copy.deepcopy(model).eval()

    def share(self, step: int, *, steps: int, epochs: int) -> float:
        """Return how far the average goes to the weights after a step: 0 leaves it, 1 copies them.

        Args:
            step: of the run, counted from 0.
            steps: of an epoch.
            epochs: of the run.
        """
        raise NotImplementedError


@torch.no_grad()
def blend_(average: nn.Module, model: nn.Module, share: float) -> None:
    """Draw an average a share of the way to a model: its parameters and BatchNorm's statistics; the rest is copied.

    Args:
        average: changed in place.
        model: of the same shape; untouched.
        share: in [0, 1].
    """
    if share == 0:
        return
    averaged, live = _averaged(average), _averaged(model)
    if share == 1:
        torch._foreach_copy_(averaged, live)
    else:
        torch._foreach_lerp_(averaged, live, share)
    known = {id(tensor) for tensor in averaged}
    for ours, theirs in zip(average.buffers(), model.buffers(), strict=True):
        if id(ours) not in known:  # counters, and what may be infinite for good reason, such as masks
            ours.copy_(theirs)


def _averaged(model: nn.Module) -> list[Tensor]:
    norms = [module for module in model.modules() if isinstance(module, BatchNorm)]
    statistics = [buffer for norm in norms for buffer in norm.buffers() if buffer.is_floating_point()]
    return [*model.parameters(), *statistics]


def check_start(start: float) -> None:
    """Raise ``UserError`` unless a start is a part of the run."""
    require_field(0 <= start < 1, "averaging.start", "0 or more and less than 1", start, 0, 1)

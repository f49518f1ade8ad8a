"""What a weight average is: a second model, drawn a share of the way to the trained one after each step."""

import copy
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from typing_extensions import override

from srat.core.errors import require, require_field
from srat.core.members import Member, since
from srat.models.classifier import BatchNorm

Statistics = Literal["averaged", "attacked", "clean"]
"""BatchNorm of an average: averaged as the weights are, or estimated on training images, attacked or as they are."""
_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, kw_only=True)
class Averaging(Member):
    """An average a of the weights w over the steps, a ← a + share · (w − a)."""

    sees_held_out: ClassVar[bool] = False
    """Whether it asks, at the end of each epoch, how robust the weights' worst class is on the held-out part."""

    @property
    def statistics(self) -> Statistics:
        """Where BatchNorm's running statistics come from when the average is evaluated or kept."""
        return "averaged"

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

    def share_of_epoch(self, worst: float, *, begun: bool) -> tuple[float, bool]:
        """Return how far the average goes to the weights at the end of an epoch, and whether it has begun with it.

        It is asked of one that sees the held-out part.

        Args:
            worst: accuracy under attack of the weights' worst class on the held-out part.
            begun: whether it had begun before.
        """
        raise NotImplementedError

    def ends(self) -> "Ends | None":
        """Return what remembers the ends of epochs, if something is done there."""
        return Ends() if self.sees_held_out or self.statistics != "averaged" else None


@dataclass(frozen=True, kw_only=True)
class Estimated(Averaging):
    """An average whose BatchNorm statistics can be estimated anew."""

    batch_norm: Statistics = field(default="averaged", metadata=since("averaged"))
    """BatchNorm's statistics: averaged as the weights are, or estimated on attacked or clean training images."""

    @property
    @override
    def statistics(self) -> Statistics:
        return self.batch_norm


class Ends(nn.Module):
    """The ends of epochs that an average has seen, in buffers: what is done there is done once, whatever stops it."""

    done: Int[Tensor, ""]
    """How many."""
    begun: Bool[Tensor, ""]
    """Whether the average has begun."""
    moved: Float[Tensor, ""]
    """How far BatchNorm's means moved when they were last estimated anew, in deviations."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("done", torch.zeros((), dtype=torch.long))
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))
        self.register_buffer("moved", torch.zeros(()))


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

"""What feedback is: statistics of training or held-out images, and the factor of each class that comes of them."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from srat.core.errors import require_field

Labels = Int[Tensor, " batch"]
Logits = Float[Tensor, "batch classes"]


class HeldOut(NamedTuple):
    """Counts of the held-out part for each class, in float64; those of the average where the weights are averaged."""

    total: Float[Tensor, " classes"]
    """Images."""
    clean: Float[Tensor, " classes"]
    """Those that are right as they are."""
    robust: Float[Tensor, " classes"]
    """Those that are right under the attack that chooses the best epoch."""


class Feedback(nn.Module):
    """What a member learns of the classes while a run goes on, in buffers, so that checkpoints hold it.

    It sees training images and the held-out part alone.

    Args:
        classes: how many there are.
    """

    factors: Float[Tensor, " classes"]
    """What the budget or the weight of each class is multiplied by in the epoch that goes on; 1 at first."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("factors", torch.ones(classes))

    def observe(self, labels: Labels, logits: Logits) -> None:
        """Take in a step, after it; it waits for no device.

        Args:
            labels: (batch,), the classes, of all processes; of mixed images, those of the larger parts.
            logits: (batch, classes), of the adversarial images, without their gradient.
        """

    def close(self, epoch: int, *, epochs: int, held_out: HeldOut | None) -> None:
        """Take in the end of an epoch, and set the factors of the next one.

        Args:
            epoch: the one that ended, counted from 0.
            epochs: of the run.
            held_out: what is right of the held-out part; None where nothing is held out.
        """
        raise NotImplementedError


def first_epoch(start: float, epochs: int) -> int:
    """Return the first epoch, counted from 0, whose factors come of feedback: there is none in the very first one.

    Args:
        start: the part of the run before it.
        epochs: of the run.
    """
    return max(1, round(start * epochs))


def check_start(start: float, where: str) -> None:
    """Raise ``UserError`` unless a start is a part of the run; ``where`` says whose."""
    require_field(0 <= start < 1, where, "0 or more and less than 1", start, 0, 1)

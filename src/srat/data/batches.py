"""The order in which an epoch visits the examples."""

import math

import torch
from jaxtyping import Int
from torch import Tensor

from srat.core.checked import checked
from srat.core.errors import require
from srat.runtime.machine import as_device

_MOST = 1 << 31
"""Examples whose order is drawn in memory."""


@checked
def epoch_batches(
    n: int,
    batch_size: int,
    *,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> tuple[Int[Tensor, " batch"], ...]:
    """Return a random order of ``n`` examples, cut into batches whose sizes differ by one at the most.

    Equal batches leave no remainder, so that no image is dropped and BatchNorm never meets a batch of one.

    Args:
        n: number of examples.
        batch_size: the largest size of a batch.
        generator: decides the order; it lies on the CPU, so that the order is the same on every device.
        device: where the images lie; the indices go there all at once.

    Returns:
        ⌈n / batch_size⌉ batches of indices.

    Raises:
        UserError: if there is no example, no room for one in a batch, or no such device.
    """
    require(1 <= n <= _MOST, f"n: expected 1 to {_MOST:,} examples, got {n}")
    require(batch_size >= 1, f"batch_size: expected at least 1, got {batch_size}")
    return torch.randperm(n, generator=generator).to(as_device(device)).tensor_split(_number(n, batch_size))


def smallest_batch(n: int, batch_size: int) -> int:
    """Return how many examples the smallest batch of an epoch has.

    Args:
        n: number of examples.
        batch_size: the largest size of a batch.
    """
    return n // _number(n, batch_size)


def _number(n: int, batch_size: int) -> int:
    """Return how many batches an epoch has, ⌈n / batch_size⌉."""
    return math.ceil(n / batch_size)

"""The order in which an epoch visits the examples."""

import math

import torch
from jaxtyping import Int
from torch import Tensor


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
    """
    return torch.randperm(n, generator=generator).to(device).tensor_split(math.ceil(n / batch_size))

"""Random numbers by key and counter: each image has its own, on any device, whatever else is in the batch."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)
_BITS = 24
"""Of a number: as many as fp32 holds."""


def uniform(keys: Int[Tensor, " n"], counters: Int[Tensor, " n"], many: int) -> Float[Tensor, "n many"]:
    """Return numbers uniform in [0, 1), multiples of 2^−24, the same for the same key and counter.

    They are the upper bits of SplitMix64 from a state that mixes key and counter.

    Args:
        keys: (n,), any integers of 64 bits.
        counters: (n,), 0 or more.
        many: how many for each.

    Source: Steele et al., 2014, Fast Splittable Pseudorandom Number Generators.
    """
    state = _mixed(keys + _GOLDEN * counters)
    lanes = torch.arange(1, many + 1, device=keys.device)
    return _shifted(_mixed(state[:, None] + _GOLDEN * lanes), 64 - _BITS).float() * 2.0**-_BITS


def _mixed(state: Tensor) -> Tensor:
    state = (state ^ _shifted(state, 30)) * _FIRST
    state = (state ^ _shifted(state, 27)) * _SECOND
    return state ^ _shifted(state, 31)


def _shifted(state: Tensor, by: int) -> Tensor:
    """Return the bits shifted right, zeros following; torch has the sign follow."""
    return (state >> by) & ((1 << (64 - by)) - 1)

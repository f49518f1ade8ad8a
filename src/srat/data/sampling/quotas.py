"""From shares of the classes to the examples that an epoch draws of them."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

Quotas = Int[Tensor, " classes"]


def round_to_total(expected: Float[Tensor, " classes"], generator: torch.Generator) -> Quotas:
    """Return whole numbers whose mean over the draws is ``expected``, each ⌊·⌋ or ⌈·⌉ of it, with the same sum.

    Of one draw u ~ U[0, 1) and cumulative sums S: ⌊S_c + u⌋ − ⌊S_{c−1} + u⌋ (systematic sampling).

    Args:
        expected: (classes,), float64, at least 0, with a whole sum.
        generator: draws u and the order of the classes.
    """
    order = torch.randperm(len(expected), generator=generator)
    sums = expected[order].cumsum(0).round(decimals=6)  # a sum of 6 must not be 5.999…
    steps = torch.floor(sums + torch.rand(1, dtype=torch.float64, generator=generator)).long()
    quotas = torch.empty_like(steps)
    quotas[order] = steps.diff(prepend=steps.new_zeros(1))
    return quotas


def draw(labels: Int[Tensor, " n"], quotas: Quotas, generator: torch.Generator) -> Int[Tensor, " drawn"]:
    """Return the indices of ``quotas[c]`` examples of each class c, shuffled.

    No example of a class is drawn again before all the others of it.

    Args:
        labels: (n,), integers in [0, classes).
        quotas: how many to draw of each class, 0 where it has no example.
        generator: decides which, and their order.
    """
    classes = torch.split(labels.argsort(stable=True), labels.bincount(minlength=len(quotas)).tolist())
    drawn = torch.cat([_rounds(own, quota, generator) for own, quota in zip(classes, quotas.tolist(), strict=True)])
    return drawn[torch.randperm(len(drawn), generator=generator)]


def whole(expected: Float[Tensor, " classes"], class_counts: Sequence[int]) -> tuple[int, ...]:
    """Return the whole numbers next to ``expected``, at least 1 of a class that has an example."""
    rounded = expected.round().long().tolist()
    return tuple(max(1, n) if count else 0 for n, count in zip(rounded, class_counts, strict=True))


def _rounds(examples: Int[Tensor, " class"], count: int, generator: torch.Generator) -> Int[Tensor, " count"]:
    """Return ``count`` of a class's examples, no one drawn again before all the others."""
    rounds = -(-count // max(1, len(examples)))
    orders = [torch.randperm(len(examples), generator=generator) for _ in range(rounds)]
    return examples[torch.cat(orders)[:count]] if orders else examples[:0]

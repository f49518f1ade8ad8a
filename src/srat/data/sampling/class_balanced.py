"""As many examples of each class."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from typing_extensions import override

from srat.data.sampling.base import Sampling


@dataclass(frozen=True, kw_only=True)
class ClassBalanced(Sampling, name="class-balanced"):
    """Draw as many examples of each class (Shen et al., 2016): rare ones several times, common ones now and then.

    Of n examples in C classes an epoch draws ⌊n/C⌋ or ⌈n/C⌉ of each class, and each example of a class ⌊·⌋ or ⌈·⌉ of
    its class's draws over its class's examples. Losses and class weights know these draws as the classes' counts, so
    that nothing is corrected twice: class weights become 1, and LDAM's margins equal.
    """

    @override
    def order(
        self, labels: Int[Tensor, " n"], *, epoch: int, epochs: int, generator: torch.Generator
    ) -> Int[Tensor, " n"]:
        """Return equally many indices of each class, shuffled."""
        del epoch, epochs
        counts = labels.bincount()
        classes = torch.split(labels.argsort(stable=True), counts[counts > 0].tolist())
        quotas = torch.full((len(classes),), len(labels) // len(classes))
        quotas[torch.randperm(len(classes), generator=generator)[: len(labels) % len(classes)]] += 1
        drawn = [_rounds(own, quota, generator) for own, quota in zip(classes, quotas.tolist(), strict=True)]
        order = torch.cat(drawn)
        return order[torch.randperm(len(order), generator=generator)]

    @override
    def drawn(self, class_counts: Sequence[int]) -> tuple[int, ...]:
        there = sum(count > 0 for count in class_counts)
        return tuple(round(sum(class_counts) / there) if count else 0 for count in class_counts)


def _rounds(examples: Int[Tensor, " class"], count: int, generator: torch.Generator) -> Int[Tensor, " count"]:
    """Return ``count`` of a class's examples, no one drawn again before all the others."""
    rounds = -(-count // len(examples))
    orders = [torch.randperm(len(examples), generator=generator) for _ in range(rounds)]
    return examples[torch.cat(orders)[:count]]

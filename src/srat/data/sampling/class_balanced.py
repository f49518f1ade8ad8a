"""As many examples of each class."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from typing_extensions import override

from srat.data.sampling.base import Sampling
from srat.data.sampling.quotas import draw


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
        there = labels.bincount().nonzero().flatten()
        each, more = divmod(len(labels), len(there))
        quotas = torch.zeros(int(labels.max()) + 1, dtype=torch.long)
        quotas[there] = each
        quotas[there[torch.randperm(len(there), generator=generator)[:more]]] += 1
        return draw(labels, quotas, generator)

    @override
    def drawn(self, class_counts: Sequence[int], *, epoch: int, epochs: int) -> tuple[int, ...]:
        del epoch, epochs
        there = sum(count > 0 for count in class_counts)
        return tuple(round(sum(class_counts) / there) if count else 0 for count in class_counts)

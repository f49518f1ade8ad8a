"""What a sampling is: the examples that an epoch draws, in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from srat.core.members import Member


@dataclass(frozen=True, kw_only=True)
class Sampling(Member):
    """Which examples are drawn; an epoch draws as many as there are."""

    def order(
        self, labels: Int[Tensor, " n"], *, epoch: int, epochs: int, generator: torch.Generator
    ) -> Int[Tensor, " n"]:
        """Return the indices of an epoch's examples, in the order in which they are drawn.

        Args:
            labels: (n,), the classes, on the CPU.
            epoch: counted from 0.
            epochs: of the run.
            generator: decides the order; it lies on the CPU, so that the order is the same on every device.
        """
        raise NotImplementedError

    def drawn(self, class_counts: Sequence[int]) -> tuple[int, ...]:
        """Return how many examples of each class an epoch draws, which losses and class weights are to know.

        Args:
            class_counts: (classes,), training examples of each class.
        """
        return tuple(class_counts)

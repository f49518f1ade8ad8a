"""What a sampling is: the examples that an epoch draws, in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from srat.core.members import Member
from srat.data.sampling.quotas import draw, round_to_total, whole

Shares = Float[Tensor, " classes"]


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

    def drawn(self, class_counts: Sequence[int], *, epoch: int, epochs: int) -> tuple[int, ...]:
        """Return how many examples of each class an epoch draws, which losses and class weights are to know.

        Args:
            class_counts: (classes,), training examples of each class.
            epoch: counted from 0.
            epochs: of the run.
        """
        del epoch, epochs
        return tuple(class_counts)


@dataclass(frozen=True, kw_only=True)
class SharedSampling(Sampling):
    """A sampling that gives each class a share of the epoch's draws.

    Of n examples an epoch draws ⌊·⌋ or ⌈·⌉ of share · n of each class, on average share · n, and each example of a
    class ⌊·⌋ or ⌈·⌉ of its class's draws over its class's examples.
    """

    def shares(self, class_counts: Float[Tensor, " classes"], *, epoch: int, epochs: int) -> Shares:
        """Return numbers in the proportion of the classes' draws.

        Args:
            class_counts: n_c, (classes,), float64; 0 of a class without an example, whose share is 0.
            epoch: counted from 0.
            epochs: of the run.
        """
        raise NotImplementedError

    @override
    def order(
        self, labels: Int[Tensor, " n"], *, epoch: int, epochs: int, generator: torch.Generator
    ) -> Int[Tensor, " n"]:
        expected = self._expected(labels.bincount(), epoch, epochs)
        return draw(labels, round_to_total(expected, generator), generator)

    @override
    def drawn(self, class_counts: Sequence[int], *, epoch: int, epochs: int) -> tuple[int, ...]:
        return whole(self._expected(torch.as_tensor(class_counts), epoch, epochs), class_counts)

    def _expected(self, class_counts: Int[Tensor, " classes"], epoch: int, epochs: int) -> Shares:
        counts = class_counts.double()
        shares = self.shares(counts, epoch=epoch, epochs=epochs)
        return shares / shares.sum() * counts.sum()

"""From as they are to as many of each class, over the run."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from srat.data.sampling.base import SharedSampling, Shares


@dataclass(frozen=True, kw_only=True)
class Progressive(SharedSampling, name="progressive"):
    """Draw of class c a share that moves from shuffled to class-balanced (Kang et al., 2020, Eq. 2).

    p_c(t) = (1 − t) · n_c/N + t · 1/C, with t = epoch / (epochs − 1): the first epoch draws each example once, the
    last one as many of each class. Losses and class weights are told of each epoch's own counts.
    """

    @override
    def shares(self, class_counts: Float[Tensor, " classes"], *, epoch: int, epochs: int) -> Shares:
        t = epoch / max(1, epochs - 1)
        there = (class_counts > 0).double()
        return (1 - t) * class_counts / class_counts.sum() + t * there / there.sum()

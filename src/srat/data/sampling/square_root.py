"""Between as they are and as many of each class: the square roots of the counts."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from srat.data.sampling.base import SharedSampling, Shares


@dataclass(frozen=True, kw_only=True)
class SquareRoot(SharedSampling, name="square-root"):
    """Draw of class c a share p_c = √n_c / Σ_k √n_k (Mahajan et al., 2018; Kang et al., 2020, Eq. 1 with q = ½)."""

    @override
    def shares(self, class_counts: Float[Tensor, " classes"], *, epoch: int, epochs: int) -> Shares:
        del epoch, epochs
        return class_counts.sqrt()

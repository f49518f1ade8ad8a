"""Each example as often as its class's effective number is small."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from srat.core.errors import require_field
from srat.data.sampling.base import SharedSampling, Shares


@dataclass(frozen=True, kw_only=True)
class EffectiveNumberSampling(SharedSampling, name="effective-number"):
    """Draw each example as often as effective-number weights would weigh it (Cui et al., 2019; Cao et al., 2019).

    p_c ∝ n_c / E_c with E_c = (1 − β^{n_c}) / (1 − β): of β = 0 all examples alike (shuffled), towards 1 all classes
    alike (class-balanced).
    """

    beta: float = 0.9999
    """β of the effective number."""

    def __post_init__(self) -> None:
        require_field(0 <= self.beta < 1, "sampling.beta", "0 ≤ β < 1", self.beta, 0, 1)

    @override
    def shares(self, class_counts: Float[Tensor, " classes"], *, epoch: int, epochs: int) -> Shares:
        del epoch, epochs
        if self.beta == 0:
            return class_counts
        # −expm1(n log β) is 1 − β^n without the cancellation as β nears 1; of no example it is 0, as is the share.
        volume = -(class_counts * math.log(self.beta)).expm1()
        return (class_counts / volume).nan_to_num(0.0)

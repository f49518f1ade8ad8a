"""No regulariser."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from srat.models import Classifier
from srat.regularizers.base import Regularizer


@dataclass(frozen=True, kw_only=True)
class NoRegularizer(Regularizer, name="none"):
    """Nothing beside the losses; weight decay is the optimiser's."""

    def __call__(self, model: Classifier) -> Float[Tensor, ""] | None:
        """Return None."""
        del model
        return None

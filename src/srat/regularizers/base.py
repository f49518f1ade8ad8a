"""What a regulariser is: a number that a model's weights make, a term of the objective."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from srat.core.members import Member
from srat.models import Classifier


@dataclass(frozen=True, kw_only=True)
class Regularizer(Member):
    """What is asked of the weights themselves, whatever the images."""

    def check(self, model: Classifier, *, classes: int) -> None:
        """Raise ``UserError`` unless the model has what is looked at.

        Args:
            model: as it will be trained.
            classes: how many there are.
        """

    def __call__(self, model: Classifier) -> Float[Tensor, ""] | None:
        """Return the term, its weight in it, or None if there is none to compute.

        Args:
            model: the model, which `check` has let pass; what it is asked for must wait for no device.
        """
        raise NotImplementedError

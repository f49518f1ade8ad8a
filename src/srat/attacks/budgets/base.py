"""What a budget is: for each class and epoch, what the training attack's ε and step size are multiplied by."""

from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from srat.core.errors import require_field
from srat.core.members import Member, since
from srat.data.counts import ClassCounts
from srat.feedback import Feedback

_SLACK = 1e-9
"""Share by which a quotient may miss 1, for rounding."""


@dataclass(frozen=True, kw_only=True)
class Budget(Member):
    """The size of the training attack's ball; the evaluation's is the same for all, always."""

    sees_held_out: ClassVar[bool] = False
    """Whether its feedback asks for the held-out part."""

    ramp: float = field(default=0.0, metadata=since(0.0))
    """b, the part of the run over which every ball grows from nothing: epoch 1 has none, epoch ⌈bE⌉ + 1 the whole."""
    fewer_steps: bool = field(default=True, metadata=since(True))
    """While the balls grow, the attack takes fewer steps: max(2, ⌈steps · ramp⌉)."""

    def __post_init__(self) -> None:
        require_field(0 <= self.ramp <= 1, "budget.ramp", "a part of the run, 0 to 1", self.ramp, 0, 1)

    def scales(self, class_counts: ClassCounts, epoch: int, *, epochs: int) -> Float[Tensor, " classes"] | None:
        """Return the multiple of ε and of the step size for each class, 0 or more, ramp aside; None for 1 everywhere.

        Args:
            class_counts: (classes,), training examples of each class.
            epoch: counted from 0.
            epochs: of the run.
        """
        del class_counts, epoch, epochs
        return None

    def feedback(self, *, classes: int) -> Feedback | None:
        """Return what learns further multiples while the run goes on; None for none.

        Args:
            classes: how many there are.
        """
        del classes
        return None

    def grown(self, epoch: int, *, epochs: int) -> float:
        """Return how far the balls have grown, min(1, t / (b E)) with t epochs done, as RobustLT has it.

        Args:
            epoch: counted from 0.
            epochs: E, of the run.
        """
        rising = self.ramp * epochs
        return epoch / rising if epoch < rising * (1 - _SLACK) else 1.0

    def effort(self, epoch: int, *, epochs: int) -> float:
        """Return which share of its steps the training attack takes in an epoch.

        Args:
            epoch: counted from 0.
            epochs: of the run.
        """
        return self.grown(epoch, epochs=epochs) if self.fewer_steps else 1.0

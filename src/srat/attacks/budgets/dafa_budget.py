"""A larger budget for classes that are taken for easier ones."""

from dataclasses import dataclass

from typing_extensions import override

from srat.attacks.budgets.base import Budget
from srat.feedback import Feedback, SimilarityFeedback, check_start
from srat.feedback.similarity import check_similarity


@dataclass(frozen=True, kw_only=True)
class DAFA(Budget, name="dafa"):
    """ε and step size by DAFA's W (Lee et al., 2024): larger for classes that are taken for easier ones.

    W is set once, from the softmax of the adversarial images of one epoch.
    """

    strength: float = 1.0
    """λ (the authors: 1 on CIFAR-10, 1.5 on CIFAR-100)."""
    start: float = 70 / 110
    """Part of the run before W applies; the matrix is gathered in the epoch before."""
    floor: float = 0.25
    """The least W: where many classes are alike, there are some of 0 and less."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_similarity(self.strength, self.floor, "budget")
        check_start(self.start, "budget.start")

    @override
    def feedback(self, *, classes: int) -> Feedback:
        return SimilarityFeedback(classes, strength=self.strength, start=self.start, floor=self.floor)

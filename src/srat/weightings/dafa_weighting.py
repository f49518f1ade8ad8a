"""Weights for classes that are taken for easier ones."""

from dataclasses import dataclass

from typing_extensions import override

from srat.core.checked import checked
from srat.data.counts import ClassCounts
from srat.feedback import Feedback, SimilarityFeedback, check_start
from srat.feedback.similarity import check_similarity
from srat.weightings.base import ClassWeights, Weighting
from srat.weightings.uniform_weighting import uniform


@dataclass(frozen=True, kw_only=True)
class DAFAWeighting(Weighting, name="dafa"):
    """DAFA's W (Lee et al., 2024): more weight for classes that are taken for easier ones.

    W is set once, from the softmax of the adversarial images of one epoch; until then all classes weigh alike. No
    weights apply before ``schedule.reweight_from``.
    """

    strength: float = 1.0
    """λ (the authors: 1 on CIFAR-10, 1.5 on CIFAR-100)."""
    start: float = 70 / 110
    """Part of the run before W applies; the matrix is gathered in the epoch before."""
    floor: float = 0.25
    """The least W: where many classes are alike, there are some of 0 and less."""

    def __post_init__(self) -> None:
        check_similarity(self.strength, self.floor, "weighting")
        check_start(self.start, "weighting.start")

    @checked
    @override
    def weights(self, class_counts: ClassCounts) -> ClassWeights:
        return uniform(class_counts)

    @override
    def feedback(self, *, classes: int) -> Feedback:
        return SimilarityFeedback(classes, strength=self.strength, start=self.start, floor=self.floor)

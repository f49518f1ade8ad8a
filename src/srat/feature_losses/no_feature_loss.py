"""No feature loss."""

from dataclasses import dataclass

from srat.data.counts import ClassCounts
from srat.feature_losses.base import FeatureLoss, Features, FeatureTerm, Labels, Memory


@dataclass(frozen=True, kw_only=True)
class NoFeatureLoss(FeatureLoss, name="none"):
    """No feature loss: λ · L_sep is 0 and costs nothing."""

    def __call__(
        self,
        features: Features,
        labels: Labels,
        memory: Memory | None = None,
        class_counts: ClassCounts | None = None,
    ) -> FeatureTerm | None:
        """Return None."""
        del features, labels, memory, class_counts
        return None

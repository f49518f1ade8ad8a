"""Features drawn onto a plane."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from srat.core.checked import checked
from srat.core.errors import require
from srat.core.structuring import read_structured
from srat.core.tensor_file import digest_of
from srat.evaluation.separability import Features

PERPLEXITY = 30.0
"""How many neighbours count: the usual number."""
_LARGEST_FILE = 1 << 22
_SEEDS = 1 << 32
"""scikit-learn takes no other seeds, a run does."""

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class FeatureMap:
    """Images on a plane, and how far their classes lie apart in the space that it was drawn from."""

    class_names: tuple[str, ...]
    labels: tuple[int, ...]
    """(n,), the class of each image."""
    points: tuple[Point, ...]
    """(n,), where each lies."""
    separability: tuple[Mapping[str, Any], ...]
    """By scope, as separability.json has it."""
    made_with: Mapping[str, Any]
    """The SHA-256 of the weights, the seed, versions."""

    def __post_init__(self) -> None:
        known = all(0 <= label < len(self.class_names) for label in self.labels)
        require(known and len(self.labels) == len(self.points), "labels and points do not fit")
        require(all(math.isfinite(x) for point in self.points for x in point), "points that are not numbers")
        require(all("scope" in each for each in self.separability), "separability without scopes")

    def is_of(self, weights: Path) -> bool:
        """Return whether the map is of the weights in a file; of a file that is not there nothing else is known."""
        return not weights.exists() or self.made_with.get("weights") == digest_of(weights)

    def to_json(self) -> str:
        """Return the contents of map.json."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> "FeatureMap":
        """Return the map that a file holds.

        Raises:
            UserError: if the file is not a map.
        """
        return read_structured(path, cls, limit=_LARGEST_FILE, what="map", advice="remove it")


@checked
def on_a_plane(features: Features, *, seed: int) -> tuple[Point, ...]:
    """Return where each image lies on a plane on which near neighbours stay near: t-SNE, begun at the main axes.

    Args:
        features: (n, dimensions), at least four images.
        seed: of the little that is random.

    Raises:
        UserError: if there are fewer images.

    Source: van der Maaten and Hinton, 2008.
    """
    require(len(features) >= 4, f"features: expected those of at least 4 images, got {len(features)}")
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed % _SEEDS).fit_transform(features)
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in points)

"""The 8 × 8 digits that come with scikit-learn: no download, a run in under a minute."""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from srat.data.dataset import Dataset, Source, Suggested
from srat.data.record import Part

TEST_PER_CLASS = 50


@dataclass(frozen=True, kw_only=True)
class Digits(Source, name="digits"):
    """1,797 handwritten digits, 8 × 8 grey (Alpaydin and Kaynak, 1998); the last 50 of each class are the test."""

    suggested: ClassVar[Suggested] = Suggested(
        model="small-cnn",
        augmentation="none",
        epochs=40,
        learning_rate=0.1,
        epsilon=0.1,
        step_size=0.025,
        mirrored=False,
    )

    def read(self, part: Part) -> Dataset:
        """Return the last 50 images of each class as the test, the others as the training part."""
        return _part(test=part == "test")


def _part(*, test: bool) -> Dataset:
    rows = torch.from_numpy(_rows())
    # Pixels count 0 … 16; 255/16 per count keeps the 17 levels apart in uint8.
    images = rows[:, :-1].reshape(-1, 1, 8, 8).mul(255 / 16).round().to(torch.uint8)
    labels = rows[:, -1].long()
    is_test = torch.zeros(len(labels), dtype=torch.bool)
    for c in range(10):
        is_test[torch.nonzero(labels == c).flatten()[-TEST_PER_CLASS:]] = True
    keep = is_test if test else ~is_test
    return Dataset(images[keep], labels[keep], tuple(str(c) for c in range(10)))


@cache
def _rows() -> NDArray[Any]:
    """Read scikit-learn's file, once: pixels and label, (1797, 65). To import scikit-learn takes longer than that."""
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    return np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")

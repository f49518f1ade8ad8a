"""Data sources (a file each), imbalance, the held-out part, augmentation and batches."""

from srat.core.members import import_members
from srat.data.augmentation import Augmentation
from srat.data.dataset import Dataset, Parts, Source
from srat.data.feed import Batch, Feed
from srat.data.holdout import Holdout
from srat.data.imbalance import Imbalance, exponential_counts, select, step_counts
from srat.data.pixels import check_images, to_unit
from srat.data.preparation import TrainingData, hash_contents, prepare
from srat.data.record import Record

import_members("srat.data.sources")

__all__ = [
    "Augmentation",
    "Batch",
    "Dataset",
    "Feed",
    "Holdout",
    "Imbalance",
    "Parts",
    "Record",
    "Source",
    "TrainingData",
    "check_images",
    "exponential_counts",
    "hash_contents",
    "prepare",
    "select",
    "step_counts",
    "to_unit",
]

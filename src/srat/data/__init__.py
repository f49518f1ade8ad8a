"""Data sources (a file each), imbalance, the held-out part, augmentation and batches."""

from srat.data.augmentation import Augmentation
from srat.data.base import Dataset, Parts, Source
from srat.data.batches import epoch_batches
from srat.data.feed import Batch, Feed
from srat.data.holdout import Holdout
from srat.data.imbalance import Imbalance, exponential_counts, select, step_counts
from srat.data.pixels import check_images, to_unit
from srat.data.record import Record
from srat.data.training import TrainingData, hash_contents, prepare
from srat.registry import import_members

import_members(__name__)

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
    "epoch_batches",
    "exponential_counts",
    "hash_contents",
    "prepare",
    "select",
    "step_counts",
    "to_unit",
]

"""Data sources (a file each), imbalance, the held-out part, augmentation, mixing and batches."""

from srat.core.members import import_members
from srat.data.augmentation import Augmentation
from srat.data.dataset import Dataset, Parts, Source
from srat.data.feed import Batch, Feed
from srat.data.holdout import Holdout
from srat.data.imbalance import Imbalance, exponential_counts, select, step_counts
from srat.data.pixels import check_images, to_unit
from srat.data.preparation import TrainingData, hash_contents, prepare
from srat.data.record import Record
from srat.data.split_file import read_split, write_split
from srat.data.targets import Targets

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
    "Targets",
    "TrainingData",
    "check_images",
    "exponential_counts",
    "hash_contents",
    "prepare",
    "read_split",
    "select",
    "step_counts",
    "to_unit",
    "write_split",
]

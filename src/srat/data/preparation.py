"""From a source to the examples that a run trains on, and those that it holds out."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from srat.core.checked import checked
from srat.core.errors import require
from srat.data.dataset import Dataset, Parts, Source
from srat.data.holdout import Holdout
from srat.data.imbalance import Imbalance, hash_indices


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The kept part of a source's training images, split in two.

    Args:
        train: what the weights learn from.
        held_out: what chooses the best epoch, or None.
        train_indices: positions of ``train`` in the source, sorted.
        held_out_indices: positions of ``held_out`` in the source, sorted; none of a validation part of its own.
        notes: what is to be said of the counts that are kept.
    """

    train: Dataset
    held_out: Dataset | None
    train_indices: Int[Tensor, " train"]
    held_out_indices: Int[Tensor, " held"]
    notes: tuple[str, ...] = ()

    @cached_property
    def kept_indices(self) -> Int[Tensor, " kept"]:
        """All positions in the source that the imbalance keeps, sorted."""
        return torch.cat((self.train_indices, self.held_out_indices)).sort().values

    def record(self) -> dict[str, Any]:
        """Return what a run's folder says of its data: the indices, the hash of those kept, and that of the images."""
        return {
            "sha256": hash_indices(self.kept_indices),
            "contents": hash_contents(self.train, self.held_out),
            "train": self.train_indices.tolist(),
            "held_out": self.held_out_indices.tolist(),
        }


@checked
def hash_contents(*parts: Dataset | None) -> str:
    """Return the SHA-256 of the images and labels of data sets, one after the other.

    Args:
        parts: data sets; None counts as an empty one.

    Raises:
        UserError: if something is no data set.
    """
    digest = sha256()
    for part in parts:
        if part is not None:
            images = part.images
            digest.update(images.contiguous().numpy().data if isinstance(images, Tensor) else images.hash_contents())
            digest.update(part.labels.contiguous().numpy().data)
    return digest.hexdigest()


def check_classes(train: Dataset) -> None:
    """Raise ``UserError`` if a class has no training image."""
    empty = [train.class_names[c] for c, count in enumerate(train.counts) if count == 0]
    require(not empty, f"no training image in class {', '.join(empty)}")


@checked
def prepare(source: Source | Parts, imbalance: Imbalance, holdout: Holdout, *, seed: int) -> TrainingData:
    """Return the training data of a run; the test part is never touched.

    A validation part of the source's own is what is held out: the training part is then left whole. Groups of images
    that belong together are held out as a whole.

    Args:
        source: of the data, or its parts.
        imbalance: how many of each class are kept of the training part.
        holdout: how many of those are held out.
        seed: draws the kept and the held-out ones.

    Raises:
        UserError: if the source cannot be read, or a class would be left without a training image.
    """
    parts = source.parts() if isinstance(source, Source) else source
    full = parts.train()
    check_classes(full)
    kept, notes = imbalance.kept(full.labels, full.counts, seed=seed), imbalance.notes(full.counts, seed=seed)
    validation = parts.validation() if holdout.fraction else None
    if validation is not None:
        return TrainingData(full.subset(kept), validation, kept, kept[:0], notes)
    groups = None if full.groups is None else full.groups[kept]
    train, held_out = (kept[positions] for positions in holdout.split(full.labels[kept], seed=seed, groups=groups))
    held = full.subset(held_out) if len(held_out) else None
    return TrainingData(full.subset(train), held, train, held_out, notes)

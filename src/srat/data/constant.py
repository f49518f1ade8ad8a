"""Images that show nothing: the same colour in every pixel."""

from collections import Counter
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Num
from torch import Tensor

from srat.core.words import counted, few
from srat.data.dataset import Dataset
from srat.data.record import OF_PART, Part

LOOKED_AT = 4_096
"""Images at the most, evenly spread, that are decoded for this where they stay in their files."""
_BATCH = 512


def is_constant(images: Num[Tensor, "n channels height width"]) -> Bool[Tensor, " n"]:
    """Return which images have one colour in all pixels."""
    flat = images.flatten(2)
    return (flat.amax(dim=2) == flat.amin(dim=2)).all(dim=1)


def constant_notes(dataset: Dataset, part: Part = "train") -> Iterator[str]:
    """Yield what is to be said of images of a data set that have one colour in all pixels, and of classes of them.

    Args:
        dataset: the images.
        part: that they are.
    """
    chosen = torch.arange(len(dataset))
    if dataset.streamed and len(dataset) > LOOKED_AT:
        chosen = torch.linspace(0, len(dataset) - 1, LOOKED_AT, dtype=torch.float64).round().long()
    flat = torch.cat([is_constant(dataset.subset(some).images[:]).cpu() for some in torch.split(chosen, _BATCH)])
    labels = dataset.labels.cpu()[chosen]
    yield from told_of_constants(labels.tolist(), flat.tolist(), dataset.class_names, part)


def told_of_constants(
    labels: list[int], constant: list[bool], class_names: tuple[str, ...], part: Part
) -> Iterator[str]:
    """Yield what is to be said of images of one colour.

    Args:
        labels: the class of each image looked at.
        constant: whether it has one colour.
        class_names: the classes.
        part: that the images are.
    """
    all_, flat = Counter(labels), Counter(label for label, is_flat in zip(labels, constant, strict=True) if is_flat)
    if flat:
        by_class = few([f"{class_names[label]}: {count:,}" for label, count in flat.most_common()])
        of = f"of {len(labels):,} {OF_PART[part]} images"
        yield f"{counted(flat.total(), f'{of} has', f'{of} have')} one colour in all pixels ({by_class})"
    empty = [class_names[label] for label, count in flat.items() if count == all_[label]]
    if empty:
        yield f"every {OF_PART[part]} image of class {few(empty)} has one colour in all pixels"

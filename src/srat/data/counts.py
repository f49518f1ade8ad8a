"""Counts of examples: what every weighting and every margin is made of."""

from collections.abc import Sequence

import torch
from torch import Tensor

from srat.errors import UserError, require

ClassCounts = Tensor | Sequence[int]
"""(classes,), examples of each class; a list, an array or a tensor."""


def check_counts(class_counts: ClassCounts, *, classes: int | None = None) -> None:
    """Refuse what are no counts of at least 1, and name the class.

    A tensor is looked at on the CPU alone, where that waits for no device.

    Args:
        class_counts: (classes,), examples of each class.
        classes: how many there are to be.

    Raises:
        UserError: if a class has none, or they are not one for each class.
    """
    counts = torch.as_tensor(class_counts)
    require(counts.ndim == 1, f"class counts: expected one for each class, got shape {tuple(counts.shape)}")
    wanted = "one for each class" if classes is None else f"one for each of {classes} classes"
    require(len(counts) == (classes or len(counts)) > 0, f"class counts: expected {wanted}, got {len(counts)}")
    require(counts.dtype != torch.bool, "class counts: expected whole numbers, got bool")
    if counts.device.type == "cpu" and anywhere(wrong := ~((counts >= 1) & (counts < torch.inf) & (counts % 1 == 0))):
        odd = int(wrong.nonzero()[0])
        got = f"{counts[odd].item():g} in class {odd}"
        raise UserError(f"class counts: expected whole numbers, at least 1 in each class, got {got}")


def anywhere(condition: Tensor) -> bool:
    """Return whether a condition holds anywhere; False of a tensor without contents, as memory is traced with.

    Args:
        condition: booleans, on the CPU.
    """
    return type(condition) is Tensor and not torch.compiler.is_compiling() and bool(condition.any())

"""Counts of examples: what every weighting and every margin is made of."""

from collections.abc import Sequence

import torch
from torch import Tensor

from srat.core.errors import UserError, require
from srat.core.words import number

ClassCounts = Tensor | Sequence[int]
"""(classes,), examples of each class; a list, an array or a tensor."""
LARGEST_COUNT = 10**12
"""Of examples; no data set has more, and floating point bears it."""


def check_counts(class_counts: ClassCounts, *, classes: int | None = None) -> None:
    """Refuse what are no counts of at least 1, and name the class.

    A tensor is looked at on the CPU alone, where that waits for no device.

    Args:
        class_counts: (classes,), examples of each class.
        classes: how many there are to be.

    Raises:
        UserError: if a class has none, or they are not one for each class.
    """
    counts = _as_tensor(class_counts)
    require(counts.ndim == 1, f"class counts: expected one for each class, got shape {tuple(counts.shape)}")
    wanted = "one for each class" if classes is None else f"one for each of {classes} classes"
    require(len(counts) == (classes or len(counts)) > 0, f"class counts: expected {wanted}, got {len(counts)}")
    require(counts.dtype != torch.bool, "class counts: expected whole numbers, got bool")
    if counts.device.type == "cpu" and anywhere(wrong := ~((counts >= 1) & (counts < torch.inf) & (counts % 1 == 0))):
        odd = int(wrong.nonzero()[0])
        got = f"{number(counts[odd].item(), 1)} in class {odd}"
        raise UserError(f"class counts: expected whole numbers, at least 1 in each class, got {got}")
    if counts.device.type == "cpu" and anywhere(many := counts > LARGEST_COUNT):
        odd = int(many.nonzero()[0])
        got = f"{number(counts[odd].item(), LARGEST_COUNT)} in class {odd}"
        raise UserError(f"class counts: expected at most {LARGEST_COUNT:g} in each class, got {got}")


def log_prior(class_counts: ClassCounts) -> Tensor:
    """Return the logarithm of each class's share, ln π_j = ln(n_j / Σ_k n_k), in float64.

    Args:
        class_counts: n, (classes,), examples of each class, at least 1.
    """
    counts = torch.as_tensor(class_counts).double()
    return counts.log() - counts.sum().log()


def require_labels(labels: Tensor, classes: int | None) -> None:
    """Refuse labels of no class, and say how many there are.

    Args:
        labels: integers.
        classes: how many there are; None if labels need only not be negative.

    Raises:
        UserError: if a label is not in [0, classes).
    """
    below, above = labels < 0, labels >= (torch.inf if classes is None else classes)
    if not anywhere(below | above):
        return
    wanted = "from 0 on" if classes is None else f"from 0 to {classes - 1}"
    got = f"got {int(labels.min())} to {int(labels.max())}"
    found = ((labels[below], "below 0"), (labels[above], f"above {(classes or 0) - 1}"))
    strays = [_strays(some, len(labels), where) for some, where in found if len(some)]
    raise UserError(f"labels: expected integers {wanted}, {got}: {' and '.join(strays)}")


def _strays(some: Tensor, total: int, where: str) -> str:
    """Return how many labels are of no class: "2 of 9 are -1"."""
    first = int(some[0])
    what = str(first) if bool((some == first).all()) else where
    return f"{len(some):,} of {total:,} {'is' if len(some) == 1 else 'are'} {what}"


def _as_tensor(class_counts: ClassCounts) -> Tensor:
    """Return counts as a tensor; in floating point if one is beyond 64 bits."""
    try:
        return torch.as_tensor(class_counts)
    except (ValueError, RuntimeError, OverflowError):
        return torch.tensor([float(count) for count in class_counts], dtype=torch.float64)


def anywhere(condition: Tensor) -> bool:
    """Return whether a condition holds anywhere; False of a tensor without contents, as memory is traced with.

    Args:
        condition: booleans, on the CPU.
    """
    return type(condition) is Tensor and not torch.compiler.is_compiling() and bool(condition.any())

"""Outputs that do not look like logits, and what they look like."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

PROBABILITIES = (
    "the model returns probabilities where logits are expected: attacks on them are weak, and robustness looks better "
    "than it is; take the softmax out of its forward, or return log-softmax"
)
"""What is to be said of a model that ends in softmax."""
_MANY = 8
"""Classes from which on logits that are all between 0 and 1 are no chance."""


def are_probabilities(logits: Float[Tensor, "batch classes"]) -> bool:
    """Return whether every row is of numbers ≥ 0 that sum to 1, up to the rounding of half precision."""
    sums = logits.double().sum(dim=1)
    return bool((logits >= 0).all() and ((sums - 1).abs() < 5e-3).all())


class Likeness(NamedTuple):
    """What outputs that are not logits look like."""

    kind: str
    """What they look like."""
    made_by: str
    """The layer or function that makes such outputs."""


def likeness(logits: Float[Tensor, "batch classes"]) -> Likeness | None:
    """Return what outputs look like that hardly are logits; None if they may be logits.

    Small logits are no such outputs: those of a tanh or a clamp lie at their bounds, those of a sigmoid all above 0.
    """
    values = logits.detach().double()
    if are_probabilities(values):
        return Likeness("probabilities", "softmax")
    if _sum_to_the_same(values, rounding=torch.finfo(logits.dtype).eps):
        return Likeness("scaled probabilities", "softmax")
    chance = values.shape[1] < _MANY or not bool((values > 0).all())
    if not _end_at(1.0, values, least=2 if chance else 0):
        return None
    made_by = "sigmoid" if bool((values >= 0).all()) else "tanh"
    return Likeness(f"values of a {made_by} or a clamp", f"{made_by} or the clamp")


def doubt_of(logits: Float[Tensor, "batch classes"]) -> str:
    """Return what is to be said of outputs that do not look like logits, in eval mode; nothing of others."""
    if (found := likeness(logits)) is None:
        return ""
    if found.kind == "probabilities":
        return PROBABILITIES
    told = f"the model's outputs look like {found.kind}, not like logits: attacks need logits, and robustness looks"
    return f"{told} better than it is; take the {found.made_by} out of its forward"


def doubt_in_training(logits: Float[Tensor, "batch classes"]) -> str:
    """Return what is to be said of outputs in train mode that do not look like logits; nothing of others."""
    if (found := likeness(logits)) is None:
        return ""
    told = f"in train mode, the model's outputs look like {found.kind}, not like logits, which the losses are of"
    return f"{told}: take the {found.made_by} out of its forward"


def _sum_to_the_same(values: Tensor, *, rounding: float) -> bool:
    """Return whether rows ≥ 0 differ from each other, but not in their sum."""
    sums, spread = values.sum(dim=1), float((values - values.mean(dim=0)).abs().max())
    mean = float(sums.mean())
    slack = max(1e-5, 4 * rounding) * mean
    # Rows that are almost the same have almost the same sum, whatever they are.
    alike = mean > 0 and bool(((sums - mean).abs() <= slack).all()) and spread > 50 * slack / values.shape[1]
    return alike and bool((values >= 0).all())


def _end_at(bound: float, values: Tensor, *, least: int) -> bool:
    """Return whether values, not all the same, end at ± a bound, which so many of them reach but for rounding."""
    sizes = values.abs()
    within = bool((sizes <= bound).all()) and bool(values.max() > values.min())
    return within and int((sizes >= bound * (1 - 1e-3)).sum()) >= least

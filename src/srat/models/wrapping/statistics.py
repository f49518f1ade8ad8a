"""Normalisation that comes with weights."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from srat.core.warn import warn
from srat.models.classifier import Classifier

_SAME = 1e-4
"""Numbers that people round to four digits are the same."""


def tell_of_normalization(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Warn if weights are of another normalisation than a model has, which theirs replaces.

    Args:
        model: the model, before it gets the weights.
        weights: by their names in the model.
    """
    if not isinstance(model, Classifier):
        return
    given, stored = (
        {name: _numbers(each[f"normalization.{name}"]) for name in ("mean", "std")}
        for each in (model.state_dict(), weights)
    )
    if all(torch.allclose(given[name], stored[name], rtol=0, atol=_SAME) for name in given):
        return
    said = "the weights were trained with {}, which replaces the {} of the given model"
    warn(said.format(*(", ".join(f"{name} {_said(each[name])}" for name in each) for each in (stored, given))))


def _numbers(statistic: Tensor) -> Tensor:
    return statistic.detach().cpu().double().flatten()


def _said(numbers: Tensor) -> str:
    values = [f"{value:.4g}" for value in numbers.tolist()]
    return values[0] if len(values) == 1 else f"({', '.join(values)})"

"""What a user should know of the data and of a run's members before the hours of training."""

import math
from collections.abc import Iterator

import torch

from srat.config.config import Config
from srat.config.doubts import doubts_of
from srat.data import Dataset, Parts, TrainingData
from srat.data.constant import constant_notes
from srat.data.group_draw import unmet
from srat.runs.metrics import budget_row
from srat.runtime.precision import computes_bf16


def notes_before(
    config: Config, parts: Parts, train: Dataset, data: TrainingData, device: torch.device
) -> Iterator[str]:
    """Yield what is to be said before a training, a line each.

    Args:
        config: the run.
        parts: of its data.
        train: what the weights learn from, as it is trained on.
        data: what was drawn.
        device: where it trains.

    Raises:
        UserError: if the budget is refused for these classes.
    """
    yield from parts.notes
    yield from validation_note(config, parts)
    yield from data.notes
    yield from constant_notes(train)
    yield from budget_note(config, train)
    yield from group_note(config, data)
    yield from doubts_of(config, train.images.shape[1:], train.counts)
    yield from precision_note(config, device)


def validation_note(config: Config, parts: Parts) -> list[str]:
    """Return what is to be said of a validation part of the source's own."""
    if "validation" not in parts.there:
        return []
    if not config.holdout.fraction:
        return ["the validation part of the data is not used (`holdout.fraction` 0)"]
    return ["the validation part of the data is held out to choose the best epoch"]


def group_note(config: Config, data: TrainingData) -> list[str]:
    """Return of which classes another share is held out than is wanted, as groups of images stay whole."""
    if data.train.groups is None or data.held_out is None or not len(data.held_out_indices):
        return []
    held = data.held_out.counts
    total = [left + have for left, have in zip(data.train.counts, held, strict=True)]
    told = unmet(data.train.class_names, held, total, [config.holdout.of_class(count) for count in total])
    return [f"`holdout.fraction` cannot be met in each class, as groups stay whole: {told}"] if told else []


def precision_note(config: Config, device: torch.device) -> list[str]:
    """Return that a device is slow in a run's precision, if it is."""
    slow = config.precision == "bf16" and not computes_bf16(device)
    return ["`precision` bf16: this CPU has no instructions for it; fp32 is faster here"] if slow else []


def budget_note(config: Config, train: Dataset) -> list[str]:
    """Return what ε the classes are attacked with in training, where it is not the same for all.

    Raises:
        UserError: if the budget is refused for these classes.
    """
    budget, epsilon = config.budget, getattr(config.attack, "epsilon", None)
    scales = budget.scales(train.counts, config.epochs - 1, epochs=config.epochs)
    said = []
    if scales is not None and epsilon is not None:
        row = budget_row(scales, train.counts)
        least, images, largest = (f"{epsilon * row[f'budget_{name}']:.4g}" for name in ("least", "mean", "largest"))
        classes = f"{epsilon * float(scales.mean()):.4g}"
        said.append(f"ε is {least} to {largest}, {classes} in the mean over classes and {images} over images")
    if budget.ramp:
        said.append(f"it grows from nothing over the first {math.ceil(budget.ramp * config.epochs)} epochs")
    return [f"budget {budget.name}, of the training attack alone: {'; '.join(said)}"] if said else []

"""The curves of a training."""

import math
from collections.abc import Sequence

from srat.attacks import Natural
from srat.config.config import Config
from srat.report.html.charts import Chart, Series, chart
from srat.report.html.record import RunRecord
from srat.report.wording import is_guarded, rolled_back
from srat.runs.metrics import Row

Marks = Sequence[tuple[int, str]]
"""Epochs, and what happens there."""


def charts_of(record: RunRecord) -> list[Chart]:
    """Return the curves of the training; none without metrics."""
    history = record.history
    if not history:
        return []
    # What was undone at an epoch's end shows where the next one begins; the last one's has no place there.
    marks = [*marks_of(record.config), *((epoch + 1, "guard goes back") for epoch in rolled_back(history))]
    found = [
        chart("Accuracy", " %", _accuracies(record), marks=marks),
        chart("Loss", "", _losses(record), marks=marks),
        chart("Length of the gradient", "", [_series(history, "mean over the steps", "gradient_norm")], marks=marks),
    ]
    if _has_feature_loss(record.config):
        title = "Images without another of their class in the batch"
        found.append(chart(title, " %", _without_positive(record), marks=marks))
    if is_guarded(history):
        found.append(chart("Guard: some training images under either attack", " %", _guarded(record), marks=marks))
        title = "Guard: right after the training attack, for each right before it"
        found.append(chart(title, "", _by_rarity(record, "guard_ratio"), marks=marks))
    return found


def marks_of(config: Config) -> Marks:
    """Return the epochs at which the learning rate falls, or the class weights begin to apply."""
    falls = config.schedule.milestones_of(config.epochs)
    first = config.schedule.reweight_epoch_of(config.epochs)
    if config.weighting.name == "uniform" or first <= 0:
        return [(epoch, "rate falls") for epoch in falls]
    marks = [(epoch, "rate falls, weights apply" if epoch == first else "rate falls") for epoch in falls]
    return marks if first in falls else [*marks, (first, "weights apply")]


def _accuracies(record: RunRecord) -> list[Series]:
    history, natural = record.history, isinstance(record.config.attack, Natural)
    attacked = "" if natural else ", attacked"
    shown = [_series(history, f"training images{attacked}", "train_accuracy", 100)]
    if "held_out_robust" not in history[0]:
        return shown
    shown.append(_series(history, "held out, mean of classes", "held_out_clean", 100))
    if not natural:
        shown.append(_series(history, "held out, attacked, mean of classes", "held_out_robust", 100))
    if record.rare:
        shown.append(_series(history, f"held out{attacked}, rare classes", "held_out_under", 100, interval=True))
    return shown


def _guarded(record: RunRecord) -> list[Series]:
    return [
        *_by_rarity(record, "guard_trained", 100, "training attack, "),
        *_by_rarity(record, "guard_probe", 100, "PGD, "),
    ]


def _by_rarity(record: RunRecord, column: str, factor: float = 1.0, what: str = "") -> list[Series]:
    shown = [_series(record.history, f"{what}all classes", column, factor)]
    if f"{column}_under" in record.history[0]:
        shown.append(_series(record.history, f"{what}rare classes", f"{column}_under", factor))
    return shown


def _losses(record: RunRecord) -> list[Series]:
    shown = [_series(record.history, "prediction loss", "prediction_loss")]
    if _has_feature_loss(record.config):
        shown.append(_series(record.history, "feature loss", "feature_loss"))
    return shown


def _without_positive(record: RunRecord) -> list[Series]:
    shown = [_series(record.history, "all classes", "anchors_without_positive", 100)]
    if record.rare:
        shown.append(_series(record.history, "rare classes", "under_anchors_without_positive", 100))
    return shown


def _has_feature_loss(config: Config) -> bool:
    return config.feature_loss.name != "none"


def _series(history: Sequence[Row], name: str, column: str, factor: float = 1.0, *, interval: bool = False) -> Series:
    def values(which: str) -> list[float]:
        return [factor * float(row.get(which, math.nan)) for row in history]

    ends = {"low": values(f"{column}_low"), "high": values(f"{column}_high")} if interval else {}
    return Series(name=name, values=values(column), **ends)

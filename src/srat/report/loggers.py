"""A run followed from elsewhere: every epoch's numbers, handed to TensorBoard and its like through Fabric's loggers."""

import importlib
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import Logger
from typing_extensions import override

from srat.attacks import Natural
from srat.config.config import Config
from srat.core.errors import UserError
from srat.evaluation.counts import Counts
from srat.evaluation.observer import Observer
from srat.training.options import LoggerName

_NAMES = {
    "loss": "loss/objective",
    "prediction_loss": "loss/prediction",
    "feature_loss": "loss/feature",
    "train_accuracy": "accuracy/train_attacked",
    "held_out_clean": "accuracy/held_out",
    "held_out_robust": "accuracy/held_out_attacked",
    "held_out_under": "accuracy/held_out_attacked_rare",
    "anchors_without_positive": "without_positive/all",
    "under_anchors_without_positive": "without_positive/rare",
    "learning_rate": "step/learning_rate",
    "gradient_norm": "step/gradient_norm",
    "largest_logit": "step/largest_logit",
    "budget_least": "budget/least",
    "budget_mean": "budget/mean",
    "budget_largest": "budget/largest",
    "guard_probe": "guard/pgd",
    "guard_probe_under": "guard/pgd_rare",
    "guard_trained": "guard/training_attack",
    "guard_trained_under": "guard/training_attack_rare",
    "guard_ratio": "guard/ratio",
    "guard_ratio_under": "guard/ratio_rare",
    "guard_remedies": "guard/remedies",
    "guard_collapsed": "guard/collapsed",
    "guard_rolled_back": "guard/rolled_back",
}
"""What a column of metrics.csv is called; those of a group are shown together."""
_ODD = r"[^\w. -]"
"""What names of classes have, and those of metrics must not."""


def make_logger(name: LoggerName, folder: Path, config: Config) -> Logger:
    """Return a logger that keeps what it is told in a run's folder, or with its service.

    Raises:
        UserError: if the package that it needs is not installed.
    """
    project = f"srat-{config.data.title}"
    if name == "csv":
        from lightning_fabric.loggers.csv_logs import CSVLogger

        # Fabric's overwrites its file: each start gets a folder of its own.
        return CSVLogger(folder, name="csv")
    if name == "tensorboard":
        from lightning_fabric.loggers.tensorboard import TensorBoardLogger

        try:
            return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)
        except ModuleNotFoundError as error:
            raise UserError("`logger` tensorboard needs TensorBoard: pip install 'srat[tensorboard]'") from error
    if name == "wandb":
        return _from_lightning("wandb", "WandbLogger", {"name": folder.name, "save_dir": folder, "project": project})
    options = {"run_name": folder.name, "save_dir": str(folder), "experiment_name": project}
    return _from_lightning("mlflow", "MLFlowLogger", options)


def _from_lightning(name: str, kind: str, options: Mapping[str, Any]) -> Logger:
    """Return a logger that Fabric has not, and Lightning has."""
    for package in ("lightning.pytorch.loggers", "pytorch_lightning.loggers"):
        try:
            logger: Logger = getattr(importlib.import_module(package), kind)(**options)
        except ModuleNotFoundError:
            continue
        return logger
    raise UserError(f"`logger` {name} needs {name} and Lightning: pip install {name} lightning")


class LoggingObserver(Observer):
    """Tells loggers of every epoch, and passes on all that it is told.

    Args:
        inner: the observer that it is told before.
        loggers: those that are told.
        class_names: of the data.
        config: what is trained.
    """

    def __init__(self, inner: Observer, loggers: Sequence[Logger], class_names: Sequence[str], config: Config) -> None:
        self._inner, self._loggers, self._class_names = inner, loggers, class_names
        self._classes: dict[str, float] = {}
        self._clock = _Clock()
        self._config, self._natural = config, isinstance(config.attack, Natural)
        self._training = False

    @override
    def ready(self) -> None:
        self._inner.ready()

    @override
    def training(self, *, epochs: int, steps: int, done: int) -> None:
        """Tell the loggers the configuration, and pass it on."""
        self._training = True
        for logger in self._loggers:
            with suppress(NotImplementedError):  # Fabric's CSV has no place for it
                logger.log_hyperparams(_flat(self._config.to_plain()))
        self._clock = _Clock()
        self._inner.training(epochs=epochs, steps=steps, done=done)

    @override
    def step(self) -> None:
        """Take the time, and pass it on."""
        self._clock.tick()
        self._inner.step()

    @override
    def images_done(self, count: int) -> None:
        self._inner.images_done(count)

    @override
    def held_out(self, clean: Counts, robust: Counts) -> None:
        """Keep the accuracy of each class until the epoch ends, and pass it on."""
        self._classes = {
            f"{self._named('class_attacked')}/{c}_{re.sub(_ODD, '_', name)}": right / total
            for c, (name, right, total) in enumerate(zip(self._class_names, robust.correct, robust.total, strict=True))
            if total
        }
        self._inner.held_out(clean, robust)

    @override
    def epoch(self, row: Mapping[str, Any]) -> None:
        """Hand an epoch to the loggers, and pass it on."""
        names = {name: self._named(tag) for name, tag in _NAMES.items()}
        numbers = {names[name]: float(value) for name, value in row.items() if name in names}
        if "held_out_robust" in row and not self._natural:
            numbers["attack/accuracy_taken"] = row["held_out_clean"] - row["held_out_robust"]
        seconds = self._clock.seconds_a_step()
        numbers |= self._classes | ({} if seconds is None else {"step/seconds": seconds})
        for logger in self._loggers:
            logger.log_metrics(numbers, step=int(row["epoch"]))
            logger.save()
        self._clock = _Clock()
        self._inner.epoch(row)

    def _named(self, tag: str) -> str:
        """Return the name of a metric; in natural training nothing is attacked."""
        return tag.replace("_attacked", "") if self._natural else tag

    @override
    def reading(self, *, images: int) -> None:
        self._inner.reading(images=images)

    @override
    def evaluating(self, name: str, *, images: int) -> None:
        self._training = False
        self._inner.evaluating(name, images=images)

    @override
    def notice(self, text: str) -> None:
        self._inner.notice(text)

    @override
    def finished(self) -> None:
        """Let the loggers end what they write, and pass it on."""
        if self._training:
            for logger in self._loggers:
                logger.finalize("success")
        self._training = False
        self._inner.finished()


class _Clock:
    """The time between the first and the last step of an epoch."""

    def __init__(self) -> None:
        self._first = self._last = 0.0
        self._steps = 0

    def tick(self) -> None:
        """A step was handed to the device."""
        self._last = time.monotonic()
        self._first = self._first if self._steps else self._last
        self._steps += 1

    def seconds_a_step(self) -> float | None:
        """Return the mean; None after fewer than two steps."""
        return (self._last - self._first) / (self._steps - 1) if self._steps > 1 else None


def _flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in plain.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat

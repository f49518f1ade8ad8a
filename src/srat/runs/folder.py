"""The files of one run, and who may write them."""

import csv
import io
import itertools
import json
import os
import shlex
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from srat.config.command_line import flag, plugin_words, words_of
from srat.config.config import Config
from srat.core.errors import UserError, require
from srat.core.files import parse_json, read_bounded, remove_leftovers, write_atomically
from srat.core.tensor_file import Tensors, write_tensors
from srat.data import Record, TrainingData
from srat.models.wrapping.wrapper import Custom
from srat.runs.metrics import Row

Which = Literal["last", "best", "raw"]
"""Weights of the last epoch or of the best on the held-out part, averaged where the run averages its weights; or those
of the last epoch as the last step left them, where the others are averaged."""
Portion = int | str | None
"""Test images at the most, those that came since the run began ("new"), as many as an interval took ("within"), or all
that it recorded."""
_LOCK = ".lock"
_LARGEST_RECORD = 1 << 26


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.path / "config.json"

    @property
    def indices(self) -> Path:
        """Which training images were kept and held out, with their hash."""
        return self.path / "indices.json"

    @property
    def split(self) -> Path:
        """Which images became training, validation and test, where the data can change."""
        return self.path / "split.json"

    @property
    def record(self) -> Record | None:
        """What the run recorded of its data; None before it has begun.

        Raises:
            UserError: if that is not readable.
        """
        if not self.exists:
            return None
        if self.split.exists():
            return Record.read(self.split)
        recorded = self.indices.exists() and _read_object(self.indices).get("split")
        require(not recorded, f"{self.split} is gone: nothing else says which images the run trained on")
        return Record()

    @property
    def metrics(self) -> Path:
        """A row an epoch."""
        return self.path / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def environment(self) -> Path:
        """Device, versions and time of the training."""
        return self.path / "environment.json"

    def weights(self, which: Which) -> Path:
        """The weights of the last epoch, of the best on the held-out part, or of the last one without averaging."""
        return self.path / f"model{_suffix(which)}.safetensors"

    def evaluation(self, which: Which, portion: Portion = None) -> Path:
        """The evaluation of those weights, on all test images or a part of them."""
        return self.path / f"evaluation{_suffix(which, portion)}.json"

    def examples(self, which: Which, portion: Portion = None) -> Path:
        """What became of each test image in that evaluation."""
        return self.path / f"examples{_suffix(which, portion)}.safetensors"

    def calibration(self, which: Which) -> Path:
        """The temperature of those weights' probabilities."""
        return self.path / f"calibration{_suffix(which)}.json"

    def audit(self, which: Which) -> Path:
        """Whether the robustness of those weights is real."""
        return self.path / f"audit{_suffix(which)}.json"

    def separability(self, which: Which) -> Path:
        """How well the classes lie apart in the features of those weights."""
        return self.path / f"separability{_suffix(which)}.json"

    @property
    def map(self) -> Path:
        """The features of training images, drawn onto a plane, and how well the classes lie apart in them."""
        return self.path / "map.json"

    @property
    def unfinished(self) -> Path:
        """The folder of evaluations that go on, or were stopped."""
        return self.path / "unfinished"

    @property
    def exists(self) -> bool:
        """Whether a run has begun here."""
        return self.config.exists()

    @property
    def trained(self) -> bool:
        """Whether the training has ended; the weights of the last epoch are the last that it writes."""
        return self.weights("last").exists()

    def check(self, config: Config, words: Sequence[str] = ()) -> None:
        """Refuse to train ``config`` in this folder if that would mix it with something else.

        Args:
            config: what is to be trained.
            words: what was typed to that end, which may be for a new run that starts from this one.

        Raises:
            UserError: if the folder holds another run, or something that is not a run.
        """
        if self.exists:
            differing = Config.read(self.config, opening=True).differences(config)
            other = f"`out`: '{self.path}' holds another run, with {', '.join(differing)}"
            advice = f"; {self.how_to_start_from(words)}" if self.trained else ""
            require(not differing, f"{other} ({self.how_to_go_on} that one{advice})")
            return
        ours = {_LOCK, self.checkpoints.name}
        strangers = self.path.is_dir() and any(
            item.name not in ours and not item.name.endswith(".tmp") for item in self.path.iterdir()
        )
        require(
            not strangers and not self.path.is_file(),
            f"`out`: expected a new or an empty folder, got '{self.path}', which holds something else",
        )

    @contextmanager
    def locked(self, *, wait: float = 0.0) -> Iterator[None]:
        """Make the folder, keep every other process from writing to it, and clear away what a killed one left.

        The operating system lets go of the lock when its process ends, however that ends. It may be taken again
        within itself.

        Args:
            wait: how many seconds to wait for another process to be done.

        Raises:
            UserError: if another process holds it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"`out`: the folder '{self.path}' cannot be made ({error.strerror})") from error
        file = self.path / _LOCK
        try:
            with FileLock(file, is_singleton=True).acquire(timeout=wait):
                file.write_text(f"{os.getpid()}\n{socket.gethostname()}\n")
                for folder in (self.path, self.checkpoints):
                    remove_leftovers(folder)
                yield
        except Timeout:
            raise UserError(
                f"'{self.path}' is in use by {_holder(file)}; wait for its end, or choose another"
            ) from None

    @property
    def in_use(self) -> bool:
        """Whether another process writes to the folder now."""
        file = self.path / _LOCK
        if not file.exists():
            return False
        try:
            with FileLock(file, is_singleton=True).acquire(timeout=0):
                return False
        except Timeout:
            return True

    @property
    def how_to_go_on(self) -> str:
        """What continues the run: a command, unless its model is the user's own."""
        if self.of_own_model:
            return f"srat.fit(config, out={str(self.path)!r}, model=…) continues"
        words = [*words_of("out", str(self.path)), *plugin_words(self.plugins)]
        return f"'{shlex.join(['srat', 'train', *words])}' continues"

    def how_to_start_from(self, words: Sequence[str] = ()) -> str:
        """Return what trains a new run from the weights of this one: a command, unless its model is the user's own.

        Args:
            words: what is to be otherwise in it.
        """
        beside = (self.path.with_name(f"{self.path.name}-{number}") for number in itertools.count(2))
        new = str(next(path for path in beside if not path.exists()))
        if self.of_own_model:
            composed = f"srat.compose(config, init={str(self.path)!r})"
            return f"srat.fit({composed}, out={new!r}, model=…) trains a new one from its weights"
        words = _without(flag("init.path"), words)
        start = [*words_of("config", str(self.config)), *words_of("init.path", str(self.path))]
        loaded = plugin_words(self.plugins)
        command = shlex.join(["srat", "train", *start, *words, *words_of("out", new), *loaded])
        return f"'{command}' trains a new one from its weights"

    @property
    def of_own_model(self) -> bool:
        """Whether the run is of a model of the user's own, which no command can build."""
        try:
            return self.exists and isinstance(Config.read(self.config, opening=True).model, Custom)
        except UserError:  # damaged, which is told elsewhere
            return False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say what is lost when a file cannot be written, as on a full disk: nothing that was written before."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{error.filename}: {error.strerror}; checkpoints and metrics written before are intact: "
                f"once that is fixed, {self.how_to_go_on} the run"
            ) from error

    def start(self, config: Config, data: TrainingData, split: Callable[[], Record | None]) -> None:
        """Write what is known before the training: config.json, indices.json, and split.json where there is one.

        Args:
            config: the run.
            data: what it trains on.
            split: makes what is to be recorded of the parts.

        Raises:
            UserError: if the run began with other data.
        """
        if not self.exists:
            write_atomically(self.config, config.to_json())
        record = data.record()
        if self.indices.exists():
            held = _read_object(self.indices)
            same = all(held.get(name) == record[name] for name in ("sha256", "contents"))
            require(same, f"{self.indices}: the data has changed since this run began, or the file has")
        else:
            if (recorded := split()) is not None:
                write_atomically(self.split, recorded.to_json())
            write_atomically(self.indices, json.dumps({**record, "split": recorded is not None}) + "\n")

    @property
    def train_indices(self) -> list[int]:
        """Which images of the training part the weights learned from.

        Raises:
            UserError: if indices.json does not say so.
        """
        indices = _read_object(self.indices).get("train")
        plain = isinstance(indices, list) and all(type(index) is int and index >= 0 for index in indices)
        require(plain, f"{self.indices}: expected the indices of the training images")
        return list(indices or ())

    @property
    def held_out(self) -> int:
        """How many training images the weights did not learn from; 0 if indices.json does not say so."""
        try:
            held = _read_object(self.indices).get("held_out")
        except UserError:  # nothing depends on it
            return 0
        return len(held) if isinstance(held, list) else 0

    def write_metrics(self, history: Sequence[Row]) -> None:
        """Write metrics.csv."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_atomically(self.metrics, text.getvalue())

    def read_metrics(self) -> list[Row]:
        """Return the rows of metrics.csv.

        Raises:
            UserError: if they are not numbers.
        """
        try:
            rows = list(csv.DictReader(io.StringIO(read_bounded(self.metrics, _LARGEST_RECORD).decode())))
            return [{name: _number(text) for name, text in row.items()} for row in rows]
        except (ValueError, TypeError, AttributeError, OverflowError, csv.Error) as error:
            raise UserError(f"{self.metrics}: not a readable table of numbers ({error})") from error

    def write_weights(self, which: Which, weights: Tensors, facts: Mapping[str, Any]) -> None:
        """Write a model's weights with what is needed to build it again."""
        write_tensors(self.weights(which), weights, facts)

    def write_environment(self, facts: Mapping[str, Any]) -> None:
        """Write environment.json."""
        write_atomically(self.environment, json.dumps(facts, indent=2) + "\n")

    def read_environment(self) -> dict[str, Any]:
        """Return what environment.json holds; nothing if it cannot be read: nothing depends on it."""
        try:
            return _read_object(self.environment) if self.environment.exists() else {}
        except UserError:
            return {}

    @property
    def plugins(self) -> dict[str, str]:
        """The SHA-256 of the plugins that the run began with, by their paths; none if its environment names none."""
        named = self.read_environment().get("plugins", {})
        return {str(path): str(sha256) for path, sha256 in named.items()} if isinstance(named, Mapping) else {}


def examples_beside(evaluation: Path) -> Path:
    """Return the file that says what became of each image in an evaluation that a run's folder holds."""
    return evaluation.with_name(evaluation.stem.replace("evaluation", "examples", 1) + ".safetensors")


def _suffix(which: Which, portion: Portion = None) -> str:
    return ("" if which == "last" else f"-{which}") + ("" if portion is None else f"-{portion}")


def _without(name: str, words: Sequence[str]) -> list[str]:
    """Return the words of a command without a flag and its value."""
    kept = [word for word in words if not word.startswith(f"{name}=")]
    while name in kept:
        place = kept.index(name)
        del kept[place : place + 2]
    return kept


def _number(text: str) -> int | float:
    number = int(text) if text.lstrip("-").isdecimal() else float(text)
    float(number)  # raises OverflowError for what no metric is
    return number


def _holder(file: Path) -> str:
    try:
        process, host, *_ = read_bounded(file, 1_000).decode(errors="replace").split()
    except (UserError, ValueError):
        return "another process"
    return f"process {process} on {host}"


def _read_object(path: Path) -> dict[str, Any]:
    content = parse_json(read_bounded(path, _LARGEST_RECORD), where=path)
    require(isinstance(content, dict), f"{path}: expected a JSON object, got {type(content).__name__}")
    return dict(content)

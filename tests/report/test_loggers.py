"""What loggers are told, read back from what they wrote."""

import csv
import json
import sys
from unittest.mock import Mock, call

import pytest
from lightning_fabric.loggers.logger import Logger

from quick import quick
from srat.cli import main
from srat.config.composition import compose
from srat.core.errors import UserError
from srat.evaluation.counts import Counts
from srat.evaluation.observer import Observer
from srat.report import loggers
from srat.report.loggers import LoggingObserver, make_logger
from srat.runs.folder import RunFolder

QUICK = quick(epochs=3)


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A run that TensorBoard and CSV followed, and the same without."""
    folder = tmp_path_factory.mktemp("runs")
    quick = [*QUICK, "--budget", "class-wise"]  # which has columns of its own
    assert main(["train", *quick, "--logger", "tensorboard", "--logger", "csv", "--out", str(folder / "a")]) == 0
    assert main(["train", *quick, "--out", str(folder / "b")]) == 0
    return folder


def scalars(folder):
    """Return step and value of each scalar in an event file, by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_has_what_metrics_csv_has(logged):
    pytest.importorskip("tensorboard")
    found, rows = scalars(logged / "a"), RunFolder(logged / "a").read_metrics()
    for column, tag in loggers._NAMES.items():
        assert found[tag] == [(epoch, pytest.approx(row[column], rel=1e-6)) for epoch, row in enumerate(rows)], tag
    taken = [row["held_out_clean"] - row["held_out_robust"] for row in rows]
    assert [value for _, value in found["attack/accuracy_taken"]] == pytest.approx(taken, abs=1e-6)
    assert all(value > 0 for _, value in found["step/seconds"])


def test_the_classes_robust_accuracies_have_the_mean_that_is_known(logged):
    pytest.importorskip("tensorboard")
    found, rows = scalars(logged / "a"), RunFolder(logged / "a").read_metrics()
    classes = [tag for tag in found if tag.startswith("class_attacked/")]
    assert len(classes) == 10
    for epoch, row in enumerate(rows):
        mean = sum(found[tag][epoch][1] for tag in classes) / 10
        assert mean == pytest.approx(row["held_out_robust"], abs=1e-6)


def test_csv_through_fabric(logged):
    rows = list(csv.DictReader((logged / "a" / "csv" / "version_0" / "metrics.csv").read_text().splitlines()))
    known = RunFolder(logged / "a").read_metrics()
    assert [float(row["loss/objective"]) for row in rows] == pytest.approx([row["loss"] for row in known])


def test_a_run_that_is_followed_is_the_same(logged):
    for name in ("config.json", "metrics.csv", "model.safetensors", "evaluation.json", "examples.safetensors"):
        assert (logged / "a" / name).read_bytes() == (logged / "b" / name).read_bytes()


def test_a_resumed_run_is_followed_on(logged, tmp_path):
    pytest.importorskip("tensorboard")
    out = str(tmp_path / "c")
    words = ["train", *QUICK, "--logger", "tensorboard", "--out", out]
    stop = type("Stop", (Exception,), {})

    class Stopping(Observer):
        def epoch(self, row):
            if row["epoch"] == 1:
                raise stop

    from srat.cli.commands.train import read_arguments
    from srat.training.fitting import fit

    options, config = read_arguments(words[1:])
    observer = LoggingObserver(
        Stopping(), [make_logger("tensorboard", options.out, config)], list("0123456789"), config
    )
    with pytest.raises(stop):
        fit(config, out=out, device="cpu", observer=observer)
    assert main(words) == 0
    steps = sorted({step for step, _ in scalars(tmp_path / "c")["loss/objective"]})
    assert steps == [0, 1, 2]


class Told(Logger):
    name, version = "told", 0

    def __init__(self):
        self.metrics, self.parameters = [], []

    def log_metrics(self, metrics, step=None):
        self.metrics.append((step, metrics))

    def log_hyperparams(self, params):
        self.parameters.append(params)


def test_all_that_is_told_is_passed_on():
    row = {"epoch": 0, "loss": 1.0}
    counts = Counts(correct=(1, 2), total=(4, 4))
    calls = {
        "ready": ((), {}),
        "reading": ((), {"images": 3}),
        "training": ((), {"epochs": 1, "steps": 2, "done": 0}),
        "step": ((), {}),
        "held_out": ((counts, counts), {}),
        "epoch": ((row,), {}),
        "evaluating": (("clean",), {"images": 3}),
        "images_done": ((3,), {}),
        "notice": (("a note",), {}),
        "finished": ((), {}),
    }
    inner = Mock(spec=Observer)
    observer = LoggingObserver(inner, [], ("a", "b"), compose())
    assert set(calls) == {name for name in vars(Observer) if not name.startswith("_")}
    for name, (args, kwargs) in calls.items():
        getattr(observer, name)(*args, **kwargs)
    assert inner.method_calls == [getattr(call, name)(*args, **kwargs) for name, (args, kwargs) in calls.items()]


def test_names_of_classes_are_made_fit_and_stay_apart():
    told = Told()
    observer = LoggingObserver(Observer(), [told], ("a:b", "a?b", "naïve 猫"), compose())
    observer.training(epochs=1, steps=2, done=0)
    observer.held_out(*[Counts(correct=(1, 2, 0), total=(4, 4, 0))] * 2)
    observer.epoch({"epoch": 0, "loss": 1.0})
    [(_, numbers)] = told.metrics
    assert {name: value for name, value in numbers.items() if name.startswith("class")} == {
        "class_attacked/0_a_b": 0.25,
        "class_attacked/1_a_b": 0.5,
    }
    assert told.parameters[0]["loss.name"] == "ldam"
    assert json.dumps(told.parameters[0])


def test_natural_training_has_nothing_attacked():
    told = Told()
    observer = LoggingObserver(Observer(), [told], ("a", "b"), compose(method="natural"))
    observer.training(epochs=1, steps=2, done=0)
    observer.held_out(*[Counts(correct=(1, 2), total=(4, 4))] * 2)
    observer.epoch({"epoch": 0, "train_accuracy": 0.5, "held_out_clean": 0.5, "held_out_robust": 0.5})
    [(_, numbers)] = told.metrics
    assert not [name for name in numbers if "attack" in name]
    assert numbers["accuracy/train"] == 0.5
    assert numbers["class/0_a"] == 0.25


def test_csv_of_a_resumed_run_loses_nothing(tmp_path):
    for _ in range(2):
        logger = make_logger("csv", tmp_path, compose())
        logger.log_metrics({"x": 1.0}, step=0)
        logger.save()
    assert len(list((tmp_path / "csv").glob("version_*/metrics.csv"))) == 2


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_what_is_not_installed_is_said(monkeypatch, tmp_path, name):
    for module in ("lightning", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=f"pip install {name} lightning"):
        make_logger(name, tmp_path, compose())


def test_an_unknown_logger_is_one_line(cli):
    code, _, err = cli("train", "--logger", "tensorbord")
    assert code == 2
    assert "tensorboard" in err
    assert err.count("\n") == 1

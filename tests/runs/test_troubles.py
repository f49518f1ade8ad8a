"""What is wrong with a training, from made-up histories and from real ones."""

from dataclasses import replace

import pytest
from torch import nn

from srat import compose
from srat.attacks import Natural
from srat.attacks.budgets import UniformBudget
from srat.data.imbalance import Step
from srat.evaluation.observer import Observer
from srat.models import Init
from srat.optimization.optimizers import SGD
from srat.runs.listing import list_runs
from srat.runs.troubles import arisen, troubles
from srat.training.checkpoint import State
from srat.training.fitting import fit
from srat.training.loop import finish_epoch

CE = compose(method="ce", epochs=20)
WELL = {
    "loss": 1.0,
    "train_accuracy": 0.7,
    "held_out_as_trained": 0.6,
    "held_out_clean": 0.8,
    "held_out_classes_right": 10,
    "held_out_classes_silent": 0,
}


def history(*rows, epochs=3):
    """Return a training that goes well, but for its last epochs, in which so much is otherwise."""
    good = [{"epoch": epoch, **WELL, "loss": 2.0 - epoch / 20} for epoch in range(epochs)]
    first = epochs - len(rows)
    return good[:first] + [good[first + number] | row for number, row in enumerate(rows)]


def names(config, rows):
    return [each.name for each in troubles(config, rows)]


def test_nothing_is_said_of_a_training_that_goes_well():
    assert troubles(CE, history(epochs=3)) == troubles(CE, history(epochs=20)) == []
    assert troubles(CE, []) == []


ONE_CLASS = {"held_out_classes_right": 1, "held_out_classes_silent": 9, "held_out_clean": 0.1}


def test_one_class_for_all_is_said_from_the_third_epoch_on():
    assert names(CE, history(ONE_CLASS, ONE_CLASS, epochs=2)) == []
    assert names(CE, history(ONE_CLASS)) == ["one class for all"]
    assert names(CE, history({"held_out_classes_right": 1, "held_out_classes_silent": 0})) == []  # of one class
    # One class alone is ever right, and not always: it is not what the model says of all.
    assert names(CE, history(ONE_CLASS | {"held_out_clean": 0.09})) == ["classes never right"]
    assert names(CE, history(ONE_CLASS | {"held_out_classes_right": 0, "held_out_clean": 0})) == ["classes never right"]
    two = {"held_out_classes_right": 1, "held_out_classes_silent": 1}
    assert names(CE, history(two | {"held_out_clean": 0.45})) == ["classes never right"]
    assert names(CE, history(two | {"held_out_clean": 0.5})) == ["one class for all"]
    short = replace(CE, epochs=2)
    assert names(short, history(ONE_CLASS, epochs=1)) == []
    assert names(short, history(ONE_CLASS, epochs=2)) == ["one class for all"]
    (trouble,) = troubles(CE, history(ONE_CLASS))
    assert "`optimizer.learning_rate`" in trouble.text
    assert "`attack.epsilon`" in trouble.text
    (trouble,) = troubles(compose(method="natural", epochs=20), history(ONE_CLASS))
    assert "epsilon" not in trouble.text


SILENT = {"held_out_classes_right": 7, "held_out_classes_silent": 3}


@pytest.mark.parametrize(
    ("method", "advice"),
    [
        ("ce", "such as `method` fast-bsl"),
        ("bsl", "more `epochs` or a smaller `attack.epsilon`"),
        ("cb-reweight", "more `epochs` or a smaller `attack.epsilon`"),
        ("srat-ldam", "class weights apply from epoch 17 on"),
    ],
)
def test_classes_that_are_never_right_with_what_may_help(method, advice):
    config = compose(method=method, epochs=20)
    (trouble,) = troubles(config, history(SILENT))
    assert trouble.name == "classes never right"
    assert trouble.text.startswith("no held-out image of 3 of 10 classes is classified correctly")
    assert advice in trouble.text
    (trouble,) = troubles(config, history(SILENT), silent=["17", "cat", "dog"])
    assert "no held-out image of 17, cat, dog is" in trouble.text


def test_once_the_weights_apply_they_are_no_advice():
    config = compose(method="srat-ldam", epochs=20)
    applied = config.schedule.reweight_epoch_of(20)
    (trouble,) = troubles(config, history(SILENT, epochs=applied))
    assert "from epoch" not in trouble.text or f"from epoch {applied + 1} on" in trouble.text
    (trouble,) = troubles(config, history(SILENT, epochs=applied + 1))
    assert "more `epochs`" in trouble.text


def test_a_loss_that_does_not_fall():
    flat = [{"loss": loss} for loss in (2.3, 2.3, 2.295)]
    assert names(CE, history(*flat)) == ["loss not falling"]
    assert "2.300 in epoch 1, 2.295 in epoch 3" in troubles(CE, history(*flat))[0].text
    assert names(CE, history({"loss": 2.3}, {"loss": 2.2}, {"loss": 2.9})) == []  # it fell, and weights apply now
    growing = replace(CE, budget=UniformBudget(ramp=0.5))
    assert names(growing, history(*flat)) == []
    assert names(compose(method="taet", epochs=20), history(*flat)) == []
    started = replace(CE, init=Init(path=None, sha256="0" * 64))
    assert names(started, history(*flat)) == []  # it may have begun where it ends


OVERFITTED = {"train_accuracy": 0.9, "held_out_as_trained": 0.5}


def test_overfitting_where_the_two_accuracies_are_comparable():
    assert names(CE, history(OVERFITTED)) == ["overfitting"]
    assert (
        "90 % of the training images are right, 50 % of held-out ones under attack"
        in troubles(CE, history(OVERFITTED))[0].text
    )
    assert names(CE, history(OVERFITTED | {"held_out_as_trained": 0.66})) == []
    assert names(CE, history({"train_accuracy": 0.49, "held_out_as_trained": 0.1})) == []
    natural = troubles(compose(method="natural", epochs=20), history(OVERFITTED))
    assert "attack" not in natural[0].text
    for choices in ({"attack": "n-fgsm"}, {"sampling": "class-balanced"}, {"budget": "class-wise"}):
        assert names(compose(method="ce", epochs=20, **choices), history(OVERFITTED)) == []
    # Trained in a smaller ball, or first without an attack, and held out in the evaluation's.
    assert names(replace(CE, attack=replace(CE.attack, epsilon=0.02)), history(OVERFITTED)) == []
    first = compose(CE, before={"part": 0.4, "attack": "natural"})
    assert names(first, history(OVERFITTED)) == []
    assert names(first, history(OVERFITTED, epochs=12)) == ["overfitting"]


def test_runs_without_a_held_out_part_or_of_before_have_what_can_be_told():
    rows = [{"epoch": epoch, "loss": 2.3, "train_accuracy": 0.9} for epoch in range(4)]
    assert names(CE, rows) == ["loss not falling"]


def test_each_trouble_arises_once():
    rows = history(ONE_CLASS, ONE_CLASS, ONE_CLASS, SILENT, WELL, SILENT, epochs=9)
    told = [[each.name for each in arisen(CE, rows[: n + 1])] for n in range(9)]
    assert told == [[], [], [], ["one class for all"], [], [], ["classes never right"], [], ["classes never right"]]


class Notices(Observer):
    def __init__(self):
        self.said = []

    def notice(self, text):
        self.said.append(text)


def broken(**changes):
    """Return a run of four epochs that predicts one class for all: its rate is far too large."""
    config = compose(method="ce", epochs=4, model="small-cnn", imbalance=Step(ratio=5, cap=40), **changes)
    return replace(config, attack=Natural(), model=replace(config.model, width=2), optimizer=SGD(learning_rate=50.0))


def test_a_run_that_breaks_down_says_so_by_the_third_epoch_and_in_the_list_of_runs(tmp_path):
    observer = Notices()
    run = fit(broken(), device="cpu", out=tmp_path / "run", compiled="off", observer=observer)
    said = [text for text in observer.said if "one class" in text or "no held-out image" in text]
    assert said[0].startswith("after epoch 3: ")
    assert not any("of 10 classes" in text for text in said)  # the classes are named
    assert troubles(run.config, run.history)
    (row,) = list_runs(tmp_path)
    assert row["trouble"] == "; ".join(each.name for each in troubles(run.config, run.history))


def test_counts_per_class_come_from_the_held_out_part(tmp_path):
    run = fit(broken(), device="cpu", compiled="off")
    row = run.history[-1]
    assert row["held_out_classes_right"] + row["held_out_classes_silent"] == 10
    assert 0 <= row["held_out_as_trained"] <= 1


def test_metrics_that_cannot_be_read_take_nothing_from_the_list(tmp_path):
    fit(broken(), device="cpu", out=tmp_path / "run", compiled="off")
    for text in ("epoch\n0\n1\n2\n3\n", "epoch,loss\nx,y\n"):
        (tmp_path / "run" / "metrics.csv").write_text(text)
        (row,) = list_runs(tmp_path)
        assert (row["state"], row["trouble"]) == ("not evaluated", None)


def test_a_run_of_before_goes_on_with_the_metrics_that_it_began_with():
    state = State(history=[{"epoch": 0, "loss": 2.0}], epoch=1)
    finish_epoch(state, {"epoch": 1, "loss": 1.0, "held_out_classes_right": 7}, nn.Linear(1, 1), "pgd-10")
    assert state.history[1] == {"epoch": 1, "loss": 1.0}
    first = State()
    finish_epoch(first, {"epoch": 0, "loss": 1.0, "held_out_classes_right": 7}, nn.Linear(1, 1), "pgd-10")
    assert first.history[0]["held_out_classes_right"] == 7

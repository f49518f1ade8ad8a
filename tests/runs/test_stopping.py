"""An evaluation that stops where its interval is narrow, and goes on where it was."""

import json
import shutil

import pytest
import torch

import srat
from quick import quick
from srat.cli import main
from srat.core.errors import UserError
from srat.evaluation.observer import Observer
from srat.evaluation.record import Evaluation
from srat.report.terminal.table import notes
from srat.report.wording import images_text, stopped_text
from srat.runs import stopping
from srat.runs.stopping import ends, order_of
from srat.statistics.anytime import anytime_interval

QUICK = quick(model="linear", evaluation=2)


class Listening(Observer):
    def __init__(self, stop_after=10**9):
        self.images, self.told, self.left = 0, [], stop_after

    def images_done(self, count):
        self.images += count
        self.left -= count
        if self.left < 0:
            raise KeyboardInterrupt

    def notice(self, text):
        self.told.append(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a"
    assert main(["train", *QUICK, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(stopping, "BATCH_SIZE", 50)
    return shutil.copytree(trained, tmp_path / "run")


def within(run, points, **given):
    observer = Listening(given.pop("stop_after", 10**9))
    found = srat.evaluate_run(run, until_within=points, device="cpu", observer=observer, **given)
    return found, observer


def totals(evaluation):
    return {name: sum(result.counts.total) for name, result in evaluation.results.items()}


def test_images_come_in_rounds_of_classes_and_in_no_order_of_theirs():
    labels = torch.tensor([0, 0, 0, 1, 1, 3, 3, 3, 3] * 5)
    order = order_of(labels, 5)
    assert order.shape == (10, 3)
    assert [set(labels[round_].tolist()) for round_ in order] == [{0, 1, 3}] * 10
    assert len(order.flatten().unique()) == 30
    assert order[:, 2].tolist() != sorted(order[:, 2].tolist())
    assert torch.equal(order, order_of(labels, 5))


def test_looks_are_at_whole_rounds_and_at_the_end():
    assert list(ends(60, 10)) == [250, 500, 600]
    assert list(ends(1_000, 10))[-1] == 10_000
    steps = [new - old for old, new in zip(list(ends(1_000, 10))[:-1], list(ends(1_000, 10))[1:], strict=True)]
    assert max(steps) <= 1_000
    assert list(ends(3, 300)) == [300, 600, 900]


def test_it_stops_where_the_rare_classes_are_known_well_enough_and_goes_on_from_there(run):
    found, observer = within(run, 12)
    assert found.path == run / "evaluation-within.json"
    rare = found.groups.under
    for name, result in found.results.items():
        accuracy = result.counts.accuracy(rare)
        taken = sum(result.counts.total)
        assert 0 < taken < 500, name
        assert len(set(result.counts.total)) == 1
        assert accuracy == anytime_interval(sum(result.counts.correct[c] for c in rare), taken / 2)
        assert (accuracy.high - accuracy.low) / 2 <= 0.12
        assert json.loads(found.path.read_text())["results"][name]["stopped"] is True
    assert Evaluation.read(found.path) == found
    assert not any("±" in said for said in observer.told)
    again, observer = within(run, 12)
    assert (again, observer.images) == (found, 0)
    finer, observer = within(run, 8)
    assert observer.images == sum(totals(finer).values()) - sum(totals(found).values()) > 0
    # What a fixed number says is not touched, and nothing of this is taken for it.
    assert srat.evaluate_run(run, device="cpu").results.keys() == {"clean", "pgd-2"}
    assert not any(result.counts.stopped for result in Evaluation.read(run / "evaluation.json").results.values())
    with pytest.raises(UserError, match="there is no evaluation-"):
        srat.compare_runs([run, run], images=totals(found)["pgd-2"])


def test_a_stopped_one_goes_on_and_ends_as_one_that_never_was(run, tmp_path):
    whole, _ = within(shutil.copytree(run, tmp_path / "whole"), 6)
    with pytest.raises(KeyboardInterrupt):
        within(run, 6, stop_after=320)
    rest, observer = within(run, 6)
    assert rest == whole
    assert observer.images < sum(totals(whole).values())
    for name in whole.results:
        file = f"examples-within-{name}.safetensors"
        assert (run / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert not (run / "unfinished").exists()


def test_the_images_are_those_of_a_whole_evaluation(run):
    """All that there are, where the interval is never narrow enough: the counts of images as they are, and a notice."""
    found, observer = within(run, 0.5, attacks=["clean"])
    whole = Evaluation.read(run / "evaluation.json").results["clean"].counts
    assert found.results["clean"].counts.correct == whole.correct
    assert found.results["clean"].accuracy.low < whole.accuracy().low
    assert observer.told[-1].startswith("clean: ± ")
    assert observer.told[-1].endswith("points after 500 images; the smallest class has no more")


def test_other_weights_begin_anew(run):
    within(run, 12, attacks=["clean"])
    assert main(["train", *QUICK, "--seed", "1", "--out", str(run.parent / "b")]) == 0
    shutil.copy(run / "examples-within-clean.safetensors", run.parent / "b")
    found, observer = within(run.parent / "b", 12, attacks=["clean"])
    assert any("of another evaluation; starting over" in said for said in observer.told)
    assert observer.images == sum(totals(found).values()) > 0


def test_the_command_says_how_many_it_took(run, cli):
    code, out, _ = cli("evaluate", run, "--until-within", "12", "--device", "cpu")
    taken = totals(Evaluation.read(run / "evaluation-within.json"))
    assert code == 0
    said = " ".join(out.split())
    assert "on as many test images as it took" in said
    assert f"Test images taken: clean {taken['clean']:,}, pgd-2 {taken['pgd-2']:,}, as many of each class." in said
    code, out, _ = cli("evaluate", run, "--images", "50", "--device", "cpu")
    assert "on the first test images of each class, 50 in all" in " ".join(out.split())
    assert "Test images taken" not in out
    code, out, _ = cli("evaluate", run, "--device", "cpu")
    assert "of each class" not in out


def test_words_of_an_evaluation_that_is_whole_say_nothing_of_it(run):
    evaluation = Evaluation.read(run / "evaluation.json")
    assert stopped_text(evaluation) == ""
    assert notes(evaluation) == []
    assert images_text(evaluation, new=True) == "on 500 new images"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"points": 0}, "`until_within`: expected more than 0 and less than 50 points, got 0"),
        ({"points": 50}, "`until_within`: expected more than 0 and less than 50 points, got 50"),
        ({"points": 1, "images": 50}, "`until_within` takes as many images as it needs: leave out `images` and"),
    ],
)
def test_mistakes(run, given, said):
    with pytest.raises(UserError) as error:
        within(run, **given)
    assert str(error.value).startswith(said)

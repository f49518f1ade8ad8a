"""Evaluating a run from Python: what ``srat evaluate`` does, with attacks of one's own as well."""

import json
import shutil
from dataclasses import replace
from types import MappingProxyType

import pytest
import torch
from torch import nn

import srat
from quick import quick
from srat.attacks import FGSM, PGD, Natural
from srat.attacks.apgd import APGDCE
from srat.attacks.square import Square
from srat.cli import main
from srat.core.errors import UserError
from srat.evaluation.examples import Examples
from srat.evaluation.observer import Observer
from srat.evaluation.outcome import NEVER
from srat.evaluation.record import Evaluation
from srat.runs import evaluating
from srat.runs.result_names import chosen_attacks, result_name, threat_of

QUICK = quick(model="linear", steps=3, evaluation=3)


class Listening(Observer):
    def __init__(self):
        self.begun, self.told = [], []

    def evaluating(self, name, *, images):
        self.begun.append((name, images))

    def notice(self, text):
        self.told.append(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a"
    assert main(["train", *QUICK, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def test_is_what_the_command_does(run, trained, tmp_path, cli):
    same = shutil.copytree(trained, tmp_path / "same")
    options = {"epsilon": 0.05, "step_size": 0.02, "restarts": 2, "seed": 4, "images": 50}
    found = srat.evaluate_run(run, attacks=("pgd", "pgd-margin-2"), device="cpu", **options)
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert cli("evaluate", same, "--attack", "pgd", "--attack", "pgd-margin-2", *words, "--device", "cpu")[0] == 0
    assert found.path == run / "evaluation-50.json"
    assert found.path.read_bytes() == (same / "evaluation-50.json").read_bytes()
    assert found == Evaluation.read(same / "evaluation-50.json")
    changed = "-eps-0.05-step-0.02-seed-4"
    assert {"clean", f"pgd-3x2{changed}", f"pgd-margin-2x2{changed}"} <= found.results.keys()


def test_by_default_under_the_runs_own_attack_and_not_again(run):
    observer = Listening()
    found = srat.evaluate_run(str(run), device="cpu", observer=observer)
    assert found.results.keys() == {"clean", "pgd-3"}
    assert observer.begun == []
    again = srat.evaluate_run(run, device="cpu", observer=observer, anew=True)
    assert [name for name, _ in observer.begun] == ["clean", "probabilities", "pgd-3"]
    assert again == found
    (run / "model-best.safetensors").unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"there is no model-best\.safetensors"):
        srat.evaluate_run(run, which="best", device="cpu")


def test_attacks_of_ones_own(run):
    own = srat.Config.read(run / "config.json").evaluation
    attacks = [replace(own, random_start=False), FGSM(epsilon=own.epsilon, step_size=0.01), Natural(), "fgsm"]
    found = srat.evaluate_run(run, attacks=attacks, device="cpu", images=50)
    assert found.results["pgd-3-random-start-False"].attack["random_start"] is False
    assert found.results["fgsm-step-0.01"].attack["step_size"] == 0.01
    assert found.results["fgsm"].attack["step_size"] is None
    assert found.results.keys() - {"worst-case"} == {"clean", "pgd-3-random-start-False", "fgsm-step-0.01", "fgsm"}


def test_what_can_hardly_be_meant_is_told(run):
    observer = Listening()
    srat.evaluate_run(run, attacks=("pgd-1",), step_size=0.001, device="cpu", observer=observer, images=50)
    assert any("cannot reach the edge" in told for told in observer.told)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"attacks": ("autoattak",)}, "unknown attack 'autoattak', did you mean 'autoattack'"),
        ({"attacks": "pgd-20"}, "attacks: expected a list"),
        ({"norm": "l2"}, "`norm` needs `epsilon`"),
        ({"new_images": True, "images": 50}, "leave out `images`"),
        ({"device": "cuda:77"}, "no such CUDA device"),
    ],
)
def test_mistakes(run, given, said):
    with pytest.raises(UserError, match=said):
        srat.evaluate_run(run, **({"device": "cpu"} | given))


def test_a_run_of_ones_own_model(tmp_path):
    def net():
        return srat.models.wrap(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), mean=[0.5], std=[0.5])

    config = srat.compose(epochs=1, attack="pgd-2")
    trained = srat.fit(config, model=net(), out=tmp_path / "own", device="cpu")
    with pytest.raises(UserError, match="a model of your own"):
        srat.evaluate_run(trained.folder, device="cpu")
    found = srat.evaluate_run(trained.folder, attacks=("pgd-2",), model=net(), device="cpu")
    test = srat.data_of(trained.folder).test()
    clean = srat.evaluate(trained.model, test.images, test.labels)
    assert found.results["clean"].counts == clean.counts
    assert json.loads((trained.folder / "evaluation.json").read_text())["results"].keys() >= {"clean", "pgd-2"}


class TestLastStep:
    """Counts where attacks end, beside those of every step."""

    GIVEN = MappingProxyType({"attacks": ("pgd-6",), "epsilon": 0.04, "step_size": 0.03, "device": "cpu"})
    NAME = "pgd-6-eps-0.04-step-0.03"

    def test_what_is_there_is_not_made_again_for_it(self, run):
        before = srat.evaluate_run(run, **self.GIVEN)
        observer = Listening()
        found = srat.evaluate_run(run, **self.GIVEN, last_step=True, observer=observer)
        assert [name for name, _ in observer.begun] == ["pgd-6, last step"]
        every, last = found.results[self.NAME].counts, found.results[self.NAME].last_step
        assert every == before.results[self.NAME].counts
        kept = Examples.read(run / "examples.safetensors")
        assert set(kept.last_steps[self.NAME].broken_at.tolist()) == {NEVER, 7}
        assert 0 < sum(every.correct) <= sum(last.correct) < sum(found.results["clean"].counts.correct)
        test, config = srat.data_of(run).test(), srat.Config.read(run / "config.json")
        attack = replace(config.evaluation, steps=6, epsilon=0.04, step_size=0.03)
        by_itself = srat.evaluate(srat.load(run), test.images, test.labels, attack=attack, last_step=True)
        assert (by_itself.counts, by_itself.last_step) == (every, last)
        observer.begun.clear()
        assert srat.evaluate_run(run, **self.GIVEN, last_step=True, observer=observer) == found
        assert observer.begun == []
        assert Evaluation.read(run / "evaluation.json") == found
        assert {name for name, result in found.results.items() if result.last_step is not None} == {self.NAME}

    def test_is_kept_up_where_the_attack_is_made_anew(self, run):
        found = srat.evaluate_run(run, **self.GIVEN, last_step=True)
        observer = Listening()
        assert srat.evaluate_run(run, **self.GIVEN, anew=True, observer=observer) == found
        assert [name for name, _ in observer.begun] == ["clean", "probabilities", "pgd-6", "pgd-6, last step"]

    def test_goes_on_where_it_was_stopped(self, run):
        class Stopping(Listening):
            def images_done(self, count):
                self.told.append(count)
                if self.begun[-1][0] == "pgd-6, last step" and len(self.told) > 2:
                    raise KeyboardInterrupt

            def evaluating(self, name, *, images):
                super().evaluating(name, images=images)
                self.told.clear()

        with pytest.raises(KeyboardInterrupt):
            srat.evaluate_run(run, **self.GIVEN, last_step=True, observer=Stopping())
        (kept,) = (run / "unfinished").iterdir()
        assert kept.name == f"last-{self.NAME}-last-step.0.safetensors"
        observer = Listening()
        found = srat.evaluate_run(run, **self.GIVEN, last_step=True, observer=observer)
        assert [name for name, _ in observer.begun] == ["pgd-6, last step"]
        assert found.results[self.NAME].last_step is not None
        assert not (run / "unfinished").exists()

    def test_the_table_has_it_in_a_line(self, run, cli):
        words = ("evaluate", run, "--attack", "pgd-6", "--epsilon", 0.04, "--step-size", 0.03, "--device", "cpu")
        assert "last step" not in cli(*words)[1]
        code, out, _ = cli(*words, "--last-step")
        last = Evaluation.read(run / "evaluation.json").results[self.NAME].last_step.accuracy()
        assert code == 0
        assert f"as most papers count: {self.NAME} {100 * last.accuracy:.1f} [" in " ".join(out.split())

    def test_is_refused_where_no_step_is_the_last(self, run):
        for attacks in (("square",), ("clean", "autoattack")):
            with pytest.raises(UserError, match=f"`last_step`: expected .*, such as pgd-20, got {attacks[-1]}"):
                srat.evaluate_run(run, attacks=attacks, last_step=True, device="cpu")
        with pytest.raises(UserError, match="`until_within` counts at every step: leave out `last_step`"):
            srat.evaluate_run(run, last_step=True, until_within=10, device="cpu")
        assert not (run / "evaluation-within.json").exists()

    def test_of_another_result_it_is_refused(self, run):
        def replaced(evaluate):
            def wrapped(*args, known=None, **options):
                found = evaluate(*args, known=known, **options)
                if known is not None:
                    path = run / "examples.safetensors"
                    there = Examples.read(path)
                    other = there.outcomes[self.NAME].broken_at.clamp(max=1)
                    outcome = there.outcomes[self.NAME]._replace(broken_at=other)
                    there.with_outcome(self.NAME, outcome, there.origins[self.NAME]).write(path)
                return found

            return wrapped

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(evaluating, "examine", replaced(evaluating.examine))
            with pytest.raises(UserError, match="made this result anew meanwhile"):
                srat.evaluate_run(run, **self.GIVEN, last_step=True)


class TestNames:
    CONFIG = srat.compose(epsilon=0.1, step_size=0.025)

    def name(self, attack, seed=0):
        return result_name(attack, self.CONFIG, seed=seed)

    def test_say_what_differs_from_the_runs_own(self):
        own = self.CONFIG.evaluation
        assert self.name(own) == "pgd-20"
        assert self.name(replace(own, norm="l2", restarts=5)) == "pgd-20-l2x5"
        assert self.name(replace(own, epsilon=0.2, step_size=1 / 3), seed=9) == f"pgd-20-eps-0.2-step-{1 / 3}-seed-9"
        assert self.name(APGDCE(epsilon=0.1)) == "apgd-ce"
        assert self.name(APGDCE(epsilon=0.2)) == "apgd-ce-eps-0.2"
        assert self.name(Square(epsilon=0.1, queries=7)) == "square-7"

    def test_of_no_attack_say_nothing(self):
        assert self.name(Natural(), seed=9) == "clean"
        threat = threat_of(self.CONFIG, epsilon=0.2, step_size=0.5)
        names = list(chosen_attacks(("clean", "fgsm"), threat, self.CONFIG, seed=0))
        assert names == ["clean", "fgsm-eps-0.2"]  # whose step is its own

    def test_two_of_one_name_are_refused(self):
        class Odd(PGD):
            label = "pgd-20"

        odd = Odd(epsilon=0.1, step_size=0.025, steps=3)
        with pytest.raises(UserError, match="two that differ have the same name, 'pgd-20'"):
            chosen_attacks((odd, "pgd-20"), self.CONFIG.evaluation, self.CONFIG, seed=0)
        assert len(chosen_attacks(("pgd-20", "pgd20"), self.CONFIG.evaluation, self.CONFIG, seed=0)) == 2


def test_a_generator_of_the_callers_is_left_alone(run):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    srat.evaluate_run(run, attacks=("pgd-2",), device="cpu", images=50)
    assert torch.equal(before, torch.get_rng_state())

"""The folder for RobustBench, by programs that have no srat."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import srat
from quick import quick
from shortening import shorten_reference
from srat.cli import main
from srat.core.errors import UserError
from srat.core.tensor_file import open_tensors, write_tensors
from srat.data import to_unit
from srat.evaluation.counts import Counts
from srat.evaluation.examples import Examples
from srat.evaluation.record import Evaluation, Result
from srat.models import ImageShape
from srat.models.backbones.preact_resnet import PreActResNet18
from srat.models.backbones.resnet import ResNet18
from srat.models.backbones.wide_resnet import WideResNet
from srat.report.robustbench import entry_of, entry_place
from srat.runs.run import ModelFacts

QUICK = quick(width=8, epochs=2, steps=2, evaluation=2)
STRANGERS = """
import sys
sys.modules["srat"] = None  # importing it fails
sys.path[:0] = {paths}
from shortening import shorten_reference
shorten_reference(steps=20)
import torch
from model import load_model
from pyautoattack import AutoAttack

given = torch.load("given.pt")
model = load_model()
assert not model.training
assert not model.train().training  # there is no other mode
images = given["images"].requires_grad_()
logits = model(images)
(gradient,) = torch.autograd.grad(logits.logsumexp(dim=1).sum(), images)
attack = AutoAttack(model, norm="Linf", eps=given["eps"], seed=given["seed"], version="standard")
attack.square.n_queries //= 20  # which the version has set anew
made, _ = attack.run_standard_evaluation(given["images"].detach(), given["labels"], batch_size=250)
with torch.no_grad():
    stands = model(made).argmax(dim=1) == given["labels"]
torch.save({{"logits": logits.detach(), "gradient": gradient, "stands": stands}}, "found.pt")
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a"
    assert main(["train", *QUICK, "--device", "cpu", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def test_a_stranger_computes_and_attacks_what_the_run_does(run, cli, tmp_path, monkeypatch):
    shorten_reference(monkeypatch.setattr, steps=20)
    eps = 0.04
    words = ("--attack", "autoattack-reference", "--epsilon", eps, "--images", 20, "--device", "cpu")
    assert cli("evaluate", run, *words)[0] == 0
    assert cli("export", run, "--to", "robustbench", "--out", tmp_path / "rb")[0] == 0
    test, config = srat.data_of(run).test().sample(20), srat.Config.read(run / "config.json")
    images = to_unit(test.images)
    given = {"images": images, "labels": test.labels, "eps": eps, "seed": config.seed}
    torch.save(given, tmp_path / "rb" / "given.pt")
    model = srat.load(run)
    paths = [str(tmp_path / "rb"), str(Path(__file__).parent.parent)]
    code = STRANGERS.format(paths=paths)
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path / "rb", check=True, capture_output=True)
    found = torch.load(tmp_path / "rb" / "found.pt")
    images.requires_grad_()
    logits = model(images).logits
    (gradient,) = torch.autograd.grad(logits.logsumexp(dim=1).sum(), images)
    torch.testing.assert_close(found["logits"], logits.detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(found["gradient"], gradient, rtol=0, atol=1e-6)
    kept = Examples.read(run / "examples-20.safetensors")
    survived = kept.survived(f"autoattack-reference-eps-{eps}")
    assert torch.equal(found["stands"], survived)
    assert 3 < survived.sum() < kept.survived("clean").sum()


def test_the_folder_has_all_that_it_says(run, cli, tmp_path):
    code, out, err = cli("export", run, "--to", "robustbench")
    assert (code, err) == (0, "")
    entry = "model_info/digits/Linf/srat-ldam.json"
    assert re.fullmatch(
        rf".*/robustbench: model\.pt2, model\.py, README\.md, {re.escape(entry)}; images \(any number, 1, 8, 8\) in "
        r"\[0, 1\] → 10 classes; at most \de[+-]\d+ from the trained model\n",
        out,
    )
    place = run / "robustbench"
    files = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert files == {"model.pt2", "model.py", "README.md", entry}
    readme = (place / "README.md").read_text()
    for said in ("(batch, 1, 8, 8)", 'norm="Linf", eps=0.1', entry, "none of digits", "last epoch"):
        assert said in readme
    assert "srat" not in re.sub(r'""".*?"""', "", (place / "model.py").read_text(), flags=re.DOTALL)
    for path in files:
        assert str(tmp_path).encode() not in (place / path).read_bytes()
    assert set(srat.export_run(run, "robustbench", out=tmp_path / "again").files) == files


def test_the_entry_has_the_accuracies_that_were_measured(run, cli):
    def exported():
        shutil.rmtree(run / "robustbench", ignore_errors=True)
        assert cli("export", run, "--to", "robustbench")[0] == 0
        return json.loads((run / "robustbench/model_info/digits/Linf/srat-ldam.json").read_text())

    evaluation = Evaluation.read(run / "evaluation.json")
    clean = evaluation.results["clean"].counts
    assert exported()["clean_acc"] == str(round(100 * sum(clean.correct) / sum(clean.total), 2))
    (run / "evaluation.json").unlink()
    assert exported()["clean_acc"] is exported()["autoattack_acc"] is None


def facts_of(**changes):
    config = srat.compose(data="cifar10", method="trades-bsl", epsilon=8 / 255)
    shape = ImageShape(channels=3, height=32, width=32)
    return ModelFacts(
        config=replace(config, **changes), class_names=("a", "b"), train_counts=(5000, 50), shape=shape, epoch=9
    )


def evaluated(**correct):
    return Evaluation(
        class_names=("a", "b"),
        train_counts=(5000, 50),
        results={
            name: Result(counts=Counts(correct=(number, 0), total=(300, 300)), attack={"name": name})
            for name, number in correct.items()
        },
    )


class TestEntry:
    def test_is_in_the_form_of_theirs(self):
        # The fields that a file below model_info has, and update_json writes: all but those for corruptions.
        theirs = {
            *("link", "name", "authors", "additional_data", "number_forward_passes", "dataset", "venue"),
            *("architecture", "eps", "clean_acc", "reported", "autoattack_acc", "footnote"),
        }
        entry = entry_of(facts_of(), evaluated(clean=250, autoattack=100))
        assert entry.keys() == theirs
        assert entry["dataset"] == "cifar10"
        assert (entry["eps"], entry["clean_acc"], entry["autoattack_acc"]) == ("8/255", "41.67", "16.67")
        assert (entry["additional_data"], entry["number_forward_passes"]) == (False, 1)
        assert entry["footnote"] == "Trained on 5,050 images, 5,000 to 50 of a class."
        assert entry["name"] == "trades-bsl on cifar10"
        assert entry_place(facts_of().config) == "model_info/cifar10/Linf/trades-bsl.json"

    def test_autoattack_is_that_within_the_runs_own_ball(self):
        assert entry_of(facts_of(), None)["autoattack_acc"] is None
        others = evaluated(**{"autoattack-eps-0.1": 10, "autoattack-rapid": 20, "apgd-t": 30, "pgd-20": 40})
        assert entry_of(facts_of(), others)["autoattack_acc"] is None
        both = evaluated(**{"autoattack": 90, "autoattack-reference": 93})
        assert entry_of(facts_of(), both)["autoattack_acc"] == "15.5"
        l2 = replace(facts_of().config.evaluation, norm="l2", epsilon=0.5)
        entry = entry_of(facts_of(evaluation=l2), evaluated(**{"autoattack": 90, "autoattack-l2": 60}))
        assert (entry["eps"], entry["autoattack_acc"]) == ("0.5", "10.0")
        assert entry_place(facts_of(evaluation=l2).config) == "model_info/cifar10/L2/trades-bsl.json"

    @pytest.mark.parametrize(
        ("model", "title"),
        [
            (ResNet18(), "ResNet-18"),
            (ResNet18(width=16), "ResNet-18 of width 16"),
            (PreActResNet18(), "PreActResNet-18"),
            (WideResNet(depth=28), "WideResNet-28-10"),
            (srat.models.wrapping.wrapper.Custom(description="ViT"), "ViT"),
        ],
    )
    def test_networks_are_called_as_there(self, model, title):
        assert entry_of(facts_of(model=model), None)["architecture"] == title


def test_other_weights_are_exported_beside_the_last(run, cli, tmp_path):
    file = open_tensors(run / "model.safetensors")
    other = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in file.tensors().items()}
    write_tensors(run / "model-best.safetensors", other, file.facts)
    (run / "evaluation-best.json").unlink(missing_ok=True)
    assert srat.export_run(run, "robustbench", which="best").path == run / "robustbench-best"
    program = torch.export.load(run / "robustbench-best" / "model.pt2").module()
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(program(images)[0], srat.load(run, which="best")(images).logits)
    assert "best epoch" in (run / "robustbench-best/README.md").read_text()
    (entry,) = (run / "robustbench-best").rglob("*.json")
    assert json.loads(entry.read_text())["clean_acc"] is None  # those of the last weights are not these


def test_a_folder_with_something_in_it_is_refused(run, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="`out`: expected a new or an empty folder"):
        srat.export_run(run, "robustbench", out=tmp_path / "there")
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["mine.txt"]


def test_a_model_of_ones_own(tmp_path):
    def net():
        body = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.GELU(), nn.Linear(12, 10))
        return srat.models.wrap(body, mean=[0.5], std=[0.5])

    trained = srat.fit(srat.compose(epochs=1, attack="pgd-2"), model=net(), out=tmp_path / "own", device="cpu")
    place = srat.export_run(trained.folder, "robustbench", model=net()).path
    program = torch.export.load(place / "model.pt2").module()
    images = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(program(images)[0], trained.model(images).logits, rtol=0, atol=1e-6)

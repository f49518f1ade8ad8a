"""What a command does, done from Python: the same files, or the same numbers."""

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

import srat
from quick import quick
from srat.attacks import PGD
from srat.cli import main
from srat.cli.commands import COMMANDS
from srat.core.errors import UserError
from srat.evaluation.observer import Observer

pytestmark = pytest.mark.usefixtures("quick_maps")

QUICK = quick(evaluation=2)
IN_PYTHON = {
    "train": "fit",
    "evaluate": "evaluate_run",
    "calibrate": "calibrate_run",
    "plan": "plan",
    "predict": "predict_files",
    "export": "export_run",
    "audit": "audit_run",
    "compare": "compare_runs",
    "separability": "separability_of_run",
    "report": "report_runs",
    "runs": "list_runs",
    "theory": "theory",
    "data": "data",
    "methods": "methods",
}
OF_THE_SHELL = {"grid", "doctor", "completion", "serve"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs of two methods."""
    folder = tmp_path_factory.mktemp("python")
    for name, method in (("a", "srat-ldam"), ("b", "ce")):
        assert main(["train", *QUICK, "--method", method, "--out", str(folder / "runs" / name)]) == 0
    return folder / "runs"


@pytest.fixture
def runs(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "runs")
    shutil.copytree(trained, tmp_path / "same")
    return Path("runs")


class Listening(Observer):
    def __init__(self):
        self.told = []

    def notice(self, text):
        self.told.append(text)


def test_every_command_has_a_name_in_python():
    assert IN_PYTHON.keys() | OF_THE_SHELL == COMMANDS.keys()
    assert all(hasattr(srat, name) for name in IN_PYTHON.values() if name != "theory")
    assert importlib.import_module("srat.theory")


def test_an_audit(runs, cli, monkeypatch, short_autoattack):
    monkeypatch.setattr("srat.audit.auditing.SOURCE_STEPS", 5)
    monkeypatch.setattr("srat.audit.auditing.SOURCE_EPOCHS", 1)
    seen = []
    found = srat.audit_run(
        runs / "a",
        images=20,
        device="cpu",
        begun=lambda subject: seen.append(subject.n),
        told=lambda entry: seen.append(entry.check),
    )
    assert seen == [20, *(entry.check for entry in found.entries)]
    assert cli("audit", "same/a", "--images", "20", "--device", "cpu")[0] == (3 if found.verdict == "fail" else 0)
    assert (runs / "a" / "audit.json").read_text() == Path("same/a/audit.json").read_text()
    (runs / "a" / "audit.json").unlink()
    some = srat.audit_run(runs / "a", checks=("finite",), images=20, device="cpu", seed=3)
    assert list(some.verdicts) == ["finite"]
    assert not (runs / "a" / "audit.json").exists()
    with pytest.raises(UserError, match="unknown check 'fnite', did you mean 'finite'"):
        srat.audit_run(runs / "a", checks=("fnite",))
    with pytest.raises(UserError, match="`source`: expected a naturally trained run, got ce"):
        srat.audit_run(runs / "a", checks=("transfer",), source=runs / "b", device="cpu")


def test_a_comparison(runs, cli):
    found = srat.compare_runs([runs / "a", str(runs / "b")], attacks=("natural", "pgd-2"))
    assert found.attacks == ["clean", "pgd-2"]
    assert cli("compare", "same/a", "same/b", "--attack", "clean", "--attack", "pgd-2", "--json", "c.json")[0] == 0
    assert found.to_json() == Path("c.json").read_text()
    row = found.rows[0][0]
    results = [json.loads((runs / name / "evaluation.json").read_text())["results"]["clean"] for name in ("a", "b")]
    accuracies = [sum(each["correct"]) / sum(each["total"]) for each in results]
    assert (row.first.accuracy, row.second.accuracy) == pytest.approx(accuracies)
    with pytest.raises(UserError, match="at least two runs, got 1"):
        srat.compare_runs([runs / "a"])


def test_separability_and_the_map(runs, cli):
    found = srat.separability_of_run(runs / "a", images=150, device="cpu")
    assert cli("separability", "same/a", "--images", "150", "--device", "cpu")[0] == 0
    assert found.path == runs / "a" / "separability.json"
    assert found.path.read_text() == Path("same/a/separability.json").read_text()
    assert (found.images, list(found.results)) == (150, ["clean", "pgd-2"])
    drawn = srat.map_run(runs / "a", images=120, device="cpu")
    assert cli("separability", "same/a", "--map", "--images", "120", "--device", "cpu")[0] == 0
    assert len(drawn.labels) == len(drawn.points)
    assert (runs / "a" / "map.json").read_text() == Path("same/a/map.json").read_text() == drawn.to_json()


def test_a_page(runs, cli):
    said = []
    page = srat.report_runs([runs / "a"], out="one.html", device="cpu", told=said.append)
    assert (page, len(said)) == (Path("one.html"), 1)
    assert cli("report", "same/a", "--out", "same.html", "--device", "cpu")[0] == 0
    assert page.read_text() == Path("same.html").read_text()
    (runs / "b" / "model.safetensors").unlink()
    observer = Listening()
    both = srat.report_runs([runs / "a", runs / "b"], draw_map=False, device="cpu", observer=observer)
    assert both == Path("report.html")
    assert [told.split(":")[0] for told in observer.told] == ["no images on the page"]
    with pytest.raises(UserError, match="`out`: expected the name of a file in a folder, got 'no/where.html'"):
        srat.report_runs([runs / "a"], out="no/where.html")
    with pytest.raises(srat.UserError, match="unknown groups 'thrids', did you mean 'thirds'"):
        srat.report_runs([runs / "a"], groups="thrids")
    thirds = srat.report_runs([runs / "a"], out="thirds.html", groups="thirds", draw_map=False, device="cpu")
    assert "tail, under attack" in thirds.read_text()


def test_the_list_of_runs(runs, cli):
    rows = srat.list_runs()
    assert json.loads(cli("runs", "--format", "json")[1]) == rows
    assert [(row["run"], row["method"], row["imbalance"]) for row in rows] == [
        ("a", "srat-ldam", "step-10"),
        ("b", "ce", "step-10"),
    ]
    with pytest.raises(UserError, match="there is no folder 'nowhere'"):
        srat.list_runs("nowhere")


def test_predictions_on_files(runs, cli):
    Path("images").mkdir()
    pixels = srat.Config.read(runs / "a" / "config.json").data.test().images[:6, 0]
    for number, image in enumerate(pixels.numpy()):
        Image.fromarray((image * 255 if image.dtype != np.uint8 else image).astype("u1")).save(f"images/{number}.png")
    Path("images/notes.txt").write_text("no image")
    told = []
    found = srat.predict_files(runs / "a", ["images"], attack="pgd-3", epsilon=0.05, device="cpu", told=told.append)
    assert (found.attack.steps, found.attack.epsilon) == (3, 0.05)
    assert told[0].startswith("read 6 of 7 files")
    words = ("--attack", "pgd-3", "--epsilon", "0.05", "--format", "json", "--device", "cpu")
    rows = json.loads(cli("predict", "same/a", "images", *words)[1])["predictions"]
    assert [row["class"] for row in rows] == [found.class_names[each.label] for each in found.predictions]
    assert [row["holds"] for row in rows] == [each.holds for each in found.predictions]
    own = srat.predict_files(runs / "a", ["images/0.png"], attack=PGD(steps=1, epsilon=0.4), device="cpu")
    assert own.attack == PGD(steps=1, epsilon=0.4)


def test_an_export(runs, cli):
    found = srat.export_run(runs / "a", "torch-export")
    assert found.path == runs / "a" / "model.pt2"
    assert found.difference < 1e-5
    assert (found.shape.height, len(found.class_names)) == (8, 10)
    hub = srat.export_run(runs / "a", "hub", out="hub")
    assert cli("export", "same/a", "--to", "hub", "--out", "same-hub")[0] == 0
    names = sorted(path.name for path in hub.path.iterdir())
    assert names == sorted(path.name for path in Path("same-hub").iterdir())
    assert hub.difference is None
    with pytest.raises(UserError, match="`out`: expected a new or an empty folder, got 'hub'"):
        srat.export_run(runs / "a", "hub", out="hub")


def test_a_run_of_ones_own_model(tmp_path):
    def net():
        return srat.models.wrap(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), mean=[0.5], std=[0.5])

    run = srat.fit(srat.compose(epochs=1, attack="pgd-2"), model=net(), out=tmp_path / "own", device="cpu").folder
    assert len(srat.separability_of_run(run, images=110, model=net(), device="cpu").results) == 2
    assert len(srat.map_run(run, images=110, model=net(), device="cpu").labels) <= 110
    assert list(srat.audit_run(run, checks=("finite",), model=net(), images=20, device="cpu").verdicts) == ["finite"]
    assert srat.export_run(run, "torch-export", model=net()).difference < 1e-5

"""srat runs and srat doctor."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import torch

from quick import quick
from srat.cli import main
from srat.cli.commands.doctor import LITTLE_DISK, compiler, disk
from srat.evaluation.record import Evaluation
from srat.runs.folder import RunFolder

QUICK = quick(epochs=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("some")
    assert main(["train", *QUICK, "--seed", "3", "--out", str(folder / "deep" / "a")]) == 0
    return folder


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    """A finished run, one that is not evaluated, one that has stopped, and a damaged one."""
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    shutil.copytree(trained, runs)
    for name, left in (
        ("b", ["config.json", "metrics.csv", "model.safetensors"]),
        ("c", ["config.json", "metrics.csv"]),
    ):
        (runs / name).mkdir()
        for file in left:
            shutil.copy(runs / "deep" / "a" / file, runs / name / file)
    lines = (runs / "c" / "metrics.csv").read_text().splitlines(keepends=True)
    (runs / "c" / "metrics.csv").write_text("".join(lines[:2]))
    (runs / "d").mkdir()
    (runs / "d" / "config.json").write_text("{")
    return runs


class TestRuns:
    def test_says_what_they_are_and_how_far(self, cli, folder):
        code, out, _ = cli("runs", "--format", "json")
        rows = {row["run"]: row for row in json.loads(out)}
        assert code == 0
        assert list(rows) == ["b", "c", "d", "deep/a"]
        states = {name: row["state"] for name, row in rows.items()}
        assert (states["deep/a"], states["b"], states["c"]) == ("finished", "not evaluated", "epoch 1 of 2")
        assert states["d"].startswith("damaged: ")
        evaluation = Evaluation.read(folder / "deep" / "a" / "evaluation.json")
        row = rows["deep/a"]
        assert (row["method"], row["data"], row["imbalance"], row["seed"]) == ("srat-ldam", "digits", "step-10", 3)
        assert row["clean"] == evaluation.results["clean"].accuracy.accuracy
        assert row["robust"] == evaluation.results["pgd-1"].accuracy.accuracy
        assert row["rare"] == evaluation.results["pgd-1"].counts.accuracy(evaluation.groups.under).accuracy
        assert rows["c"]["clean"] is None

    def test_one_that_is_running_is_said_to(self, cli, folder, monkeypatch):
        monkeypatch.setattr(RunFolder, "in_use", property(lambda run: run.path.name == "c"))
        rows = {row["run"]: row["state"] for row in json.loads(cli("runs", "--format", "json")[1])}
        assert (rows["c"], rows["b"]) == ("running, epoch 1 of 2", "not evaluated")

    def test_what_was_exported_from_a_run_is_none(self, cli, folder):
        shutil.copytree(folder / "deep" / "a", folder / "deep" / "a" / "hub")
        assert len(json.loads(cli("runs", "--format", "json")[1])) == 4

    def test_for_programs(self, cli, folder):
        rows = list(csv.DictReader(io.StringIO(cli("runs", folder, "--format", "csv")[1])))
        assert [row["run"] for row in rows] == ["b", "c", "d", "deep/a"]
        assert rows[0]["clean"] == ""
        assert 0 <= float(rows[3]["clean"]) <= 1

    def test_for_people(self, cli, folder):
        code, out, _ = cli("runs", folder)
        assert code == 0
        for word in ("4 runs", "deep/a", "robust %", "finished", "not evaluated", "damaged"):
            assert word in out

    def test_where_classes_differ_in_test_images_their_mean_has_a_column(self, cli, folder):
        code, out, _ = cli("runs")
        assert code == 0
        assert "class mean %" not in out  # it would say the accuracy twice
        file = folder / "deep" / "a" / "evaluation.json"
        content = json.loads(file.read_text())
        content["results"]["pgd-1"] |= {"correct": [5, *[0] * 9], "total": [5, *[50] * 9], "taken": [500, *[0] * 9]}
        file.write_text(json.dumps(content))
        code, out, _ = cli("runs")
        assert "class mean %" in out
        (row,) = [row for row in json.loads(cli("runs", "--format", "json")[1]) if row["run"] == "deep/a"]
        assert row["class_mean"] == pytest.approx(0.1)
        assert row["robust"] == pytest.approx(5 / 455)

    def test_of_several_folders(self, cli, folder):
        code, out, _ = cli("runs", folder / "deep", folder / "b", "--format", "json")
        assert code == 0
        assert [row["run"] for row in json.loads(out)] == [str(folder / "deep" / "a"), str(folder / "b")]
        code, out, err = cli("runs", folder, "nowhere")
        assert (code, out, "no folder 'nowhere'" in err) == (2, "", True)

    def test_says_what_is_wrong_with_a_training(self, cli, folder):
        rows = RunFolder(folder / "deep" / "a").read_metrics()
        lost = {"held_out_classes_right": 1, "held_out_classes_silent": 9}
        RunFolder(folder / "deep" / "a").write_metrics([row | lost for row in rows])
        (row,) = json.loads(cli("runs", folder / "deep", "--format", "json")[1])
        assert "one class for all" in row["trouble"]
        assert "finished; one class for all" in " ".join(cli("runs", folder / "deep")[1].split())

    @pytest.mark.parametrize(("name", "said"), [("nowhere", "no folder 'nowhere'"), ("empty", "no run in 'empty'")])
    def test_where_there_are_none(self, cli, folder, name, said):
        Path("empty").mkdir()
        code, out, err = cli("runs", name)
        assert (code, out) == (2, "")
        assert said in err


class TestDoctor:
    def test_says_what_is_here(self, cli):
        code, out, err = cli("doctor")
        assert (code, err) == (0, "")
        for word in ("srat", "Python", torch.__version__, "CPU", "memory", "cifar10", "svhn", "disk"):
            assert word in out

    def test_finds_data_where_it_lies(self, cli, tmp_path, monkeypatch):
        (tmp_path / "cifar-10-batches-py").mkdir()
        (tmp_path / "cifar-10-batches-py" / "test_batch").touch()
        monkeypatch.setenv("SRAT_DATA_DIR", str(tmp_path))
        lines = {line.split()[0]: line for line in cli("doctor")[1].splitlines() if line.split()}
        assert str(tmp_path / "cifar-10-batches-py") in lines["cifar10"]
        assert "downloaded on first use" in lines["svhn"]

    def test_advises_what_would_help(self, monkeypatch, tmp_path):
        monkeypatch.setattr(shutil, "which", lambda name: None)
        monkeypatch.delenv("CXX", raising=False)
        assert "install g++" in compiler().advice
        monkeypatch.setenv("CXX", "/nowhere/cxx")
        assert compiler().advice
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, LITTLE_DISK - 1))
        assert "--out" in disk(tmp_path).advice
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, LITTLE_DISK + 1))
        assert disk(tmp_path).advice == ""

"""srat report on runs, as a person meets it."""

import json
import shutil
from pathlib import Path

import pytest

from quick import quick
from srat.cli import main

pytestmark = pytest.mark.usefixtures("quick_maps")

QUICK = quick(epochs=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two finished runs on digits, which differ by the method."""
    folder = tmp_path_factory.mktemp("runs")
    for name, method in (("a", "srat-ldam"), ("b", "ce")):
        assert main(["train", *QUICK, "--method", method, "--out", str(folder / name)]) == 0
    return folder


@pytest.fixture
def runs(finished, tmp_path, monkeypatch):
    """Copies of them, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, tmp_path / "runs")
    return Path("runs")


def test_training_ends_with_a_page(finished):
    page = (finished / "a" / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "srat train --method srat-ldam --data digits --epochs 2" in page
    assert page.count("<img") >= 3


def test_makes_the_page_again_to_the_byte(cli, runs):
    before = (runs / "a" / "report.html").read_bytes()
    (runs / "a" / "report.html").unlink()
    code, out, err = cli("report", runs / "a", "--device", "cpu", "--no-map")
    assert (code, err, out) == (0, "", "The page is in runs/a/report.html\n")
    assert (runs / "a" / "report.html").read_bytes() == before


def test_shows_audit_and_map_where_they_are(cli, runs):
    audit = {
        "checks": [{"check": "c", "question": "q", "verdict": "fail", "evidence": "caught", "figures": {"x": None}}]
    }
    (runs / "a" / "audit.json").write_text(json.dumps(audit))
    assert cli("separability", runs / "a", "--map", "--images", "200", "--device", "cpu")[0] == 0
    assert cli("report", runs / "a", "--out", "page.html", "--device", "cpu")[0] == 0
    page = Path("page.html").read_text()
    assert "caught" in page
    assert "Its robustness is not real" in page
    assert page.count("<circle") > 50


def test_draws_the_map_once_for_the_weights_that_it_is_of(cli, runs):
    assert "There is no map" in (runs / "a" / "report.html").read_text()
    said = [cli("report", runs / "a", "--device", "cpu")[1] for _ in range(2)]
    assert ["map.json" in each for each in said] == [True, False]
    page = (runs / "a" / "report.html").read_text()
    assert page.count("<circle") > 300
    assert "There is no map" not in page
    shutil.copy(runs / "a" / "map.json", runs / "b")
    # That one is of other weights: it is not shown, and drawn anew where it can be.
    assert cli("report", runs / "b", "--device", "cpu", "--no-map")[0] == 0
    assert "There is no map" in (runs / "b" / "report.html").read_text()
    assert "map.json" in cli("report", runs / "b", "--device", "cpu")[1]


def test_a_map_that_cannot_be_kept_costs_no_page(cli, runs, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("srat.runs.mapping.write_atomically", refuse)
    code, out, _ = cli("report", runs / "a", "--out", "elsewhere.html", "--device", "cpu")
    assert code == 0
    assert "no map on the page: [Errno 30] Read-only file system" in out
    assert Path("elsewhere.html").exists()


def test_several_runs_are_compared_image_by_image(cli, runs):
    code, out, _ = cli("report", runs / "a", runs / "b", "--device", "cpu", "--no-map")
    assert (code, out.splitlines()[-1]) == (0, "The page is in report.html")
    page = Path("report.html").read_text()
    assert "whether ce and srat-ldam differ" in page or "ce is better" in page or "ce is worse" in page


def test_runs_that_cannot_be_paired_still_stand_side_by_side(cli, runs):
    (runs / "b" / "examples.safetensors").unlink()
    assert cli("report", runs / "a", runs / "b", "--device", "cpu", "--no-map")[0] == 0
    assert "Not compared image by image: there is no examples.safetensors" in Path("report.html").read_text()


def test_without_weights_it_has_no_images_and_says_so(cli, runs):
    (runs / "a" / "model.safetensors").unlink()
    code, out, _ = cli("report", runs / "a", "--device", "cpu")
    assert code == 0
    assert "no images on the page: there is no model.safetensors" in " ".join(out.split())
    assert "<img" not in (runs / "a" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected the folder of a run, or the name of a table or figure"),
        (["nowhere"], "'nowhere' is neither a run's folder nor a table or figure"),
        (["tabel1"], "'tabel1' is neither a run's folder nor a table or figure, did you mean 'table1'"),
        (["runs/a", "--out", "no/where.html"], "expected the name of a file in a folder"),
        (["runs/a", "--scale", "small"], "unknown flag '--scale'"),
    ],
)
def test_mistakes_are_one_line(cli, runs, words, said):
    code, out, err = cli("report", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_run_that_is_not_evaluated_is_told_how_to_go_on(cli, runs):
    (runs / "a" / "evaluation.json").unlink()
    code, _, err = cli("report", runs / "a")
    assert code == 2
    assert "is not evaluated yet: 'srat train --out runs/a' continues it" in err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("audit.json", "{"),
        ("audit.json", '{"checks": [{"check": 1}]}'),
        ("map.json", "3"),
        ("map.json", '{"class_names": [], "labels": [], "points": [], "separability": [1], "made_with": {}}'),
        ("metrics.csv", "epoch,loss\n0," + "9" * 400 + "\n"),
        ("examples.safetensors", "x"),
    ],
)
def test_damaged_files_are_named(cli, runs, name, text):
    (runs / "a" / name).write_text(text)
    code, _, err = cli("report", runs / "a", "--device", "cpu")
    assert code == 2
    assert name in err
    assert err.count("\n") == 1


def test_examples_of_other_classes_are_refused(cli, runs):
    evaluation = json.loads((runs / "a" / "evaluation.json").read_text())
    evaluation["class_names"] = [f"other {c}" for c in range(10)]
    (runs / "a" / "evaluation.json").write_text(json.dumps(evaluation))
    code, _, err = cli("report", runs / "a", "--device", "cpu")
    assert code == 2
    assert "its classes are not those of evaluation.json" in err


def test_an_evaluation_of_nothing_is_refused(cli, runs):
    evaluation = json.loads((runs / "a" / "evaluation.json").read_text())
    for result in evaluation["results"].values():
        result["correct"] = result["total"] = [0] * 10
    (runs / "a" / "evaluation.json").write_text(json.dumps(evaluation))
    assert cli("report", runs / "a", "--device", "cpu")[0] == 2


def test_flags_may_come_before_a_recipe(cli, runs):
    code, _, err = cli("report", "--scale", "small", "table1")
    assert code == 2
    assert "no finished run of table1" in err


def test_a_model_of_ones_own_has_no_command(cli, runs):
    config = json.loads((runs / "a" / "config.json").read_text())
    config["model"] = {"name": "custom", "description": "mine"}
    (runs / "a" / "config.json").write_text(json.dumps(config))
    assert cli("report", runs / "a", "--device", "cpu", "--no-map")[0] == 0
    assert "trained from Python" in (runs / "a" / "report.html").read_text()


def test_help_tells_of_both_kinds(capsys):
    for words, said in ((["report"], "srat report table1 --help"), (["report", "table1"], "--scale")):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        assert said in capsys.readouterr().out

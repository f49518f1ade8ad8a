"""srat predict and srat export, as a person meets them."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import srat
from quick import quick
from srat.cli import main
from srat.core.tensor_file import open_tensors, write_tensors
from srat.evaluation.examples import Examples
from srat.inference import prediction
from srat.report.terminal.live import PatientConsole

CLASSES = {"crane": 12, "naïve 猫": 8, "<b>x</b>": 6}
QUICK = quick(width=4, epochs=3, evaluation=3)
QUICK += ["--step-size", "6/255"]  # three of which reach the edge
PLAIN = ("--attack", "natural", "--device", "cpu", "--format")


def fill(folder):
    """Write images of classes that differ by their colour, in files with odd names."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for c, (name, count) in enumerate(CLASSES.items()):
            (folder / part / name).mkdir(parents=True)
            for n in range(count):
                pixels = rng.integers(0, 160, (12, 12, 3), dtype=np.uint8)
                pixels[:, :, c] += 70
                Image.fromarray(pixels).save(folder / part / name / f"im age {n}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    fill(folder / "images")
    words = ["--data", "folder", "--data-dir", str(folder / "images"), "--holdout.fraction", "0", *QUICK]
    assert main(["train", *words, "--epsilon", "16/255", "--out", str(folder / "run")]) == 0
    return folder


@pytest.fixture
def own(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    return tmp_path / "own"


def parts_read(monkeypatch):
    """Return a list that fills with how many files are read at a time."""
    read, parts = prediction.read_images, []

    def reading(paths, *args, **options):
        parts.append(len(paths))
        return read(paths, *args, **options)

    monkeypatch.setattr(prediction, "read_images", reading)
    return parts


class TestPredict:
    def test_agrees_with_the_evaluation_of_the_same_images(self, cli, own):
        code, out, _ = cli("predict", "run", "images/test", "--format", "json", "--device", "cpu")
        assert code == 0
        content = json.loads(out)
        assert (content["attack"]["name"], content["attack"]["steps"]) == ("pgd", 3)
        examples = Examples.read(Path("run/examples.safetensors"))
        names, robust = examples.class_names, examples.survived("pgd-3").tolist()
        clean = examples.outcomes["clean"].predicted.tolist()
        rows = content["predictions"]
        assert [row["class"] for row in rows] == [names[c] for c in clean]
        right = [i for i, label in enumerate(examples.labels.tolist()) if clean[i] == label]
        assert [rows[i]["holds"] for i in right] == [robust[i] for i in right]
        assert len(right) > 5
        assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)

    def test_a_table_names_the_attack_and_counts_what_holds(self, cli, own):
        code, out, err = cli("predict", "run", "images/test/crane", "--device", "cpu")
        assert (code, err) == (0, "srat: read 12 of 12 files\n")
        assert "under pgd-3 (L∞, ε = 16/255)" in out
        held = len(re.findall(r"\bholds\b", out))
        assert f"{held} of 12 hold" in out
        assert held + len(re.findall(r"\bbecomes\b", out)) == 12

    def test_a_budget_is_the_one_that_is_asked_for(self, cli, own):
        words = ("images/test", "--epsilon", "0.25", "--format", "json", "--device", "cpu")
        code, out, _ = cli("predict", "run", *words)
        assert (code, json.loads(out)["attack"]["epsilon"]) == (0, 0.25)

    def test_csv_for_programs_into_a_file(self, cli, own):
        words = ("--format", "csv", "--out", "found.csv", "--attack", "natural", "--device", "cpu")
        assert cli("predict", "run/model.safetensors", "images/test/naïve 猫", *words) == (
            0,
            "",
            "srat: read 8 of 8 files\n",
        )
        rows = list(csv.DictReader(io.StringIO(Path("found.csv").read_text())))
        assert [row["file"] for row in rows] == [f"images/test/naïve 猫/im age {n}.png" for n in range(8)]
        assert all(row["class"] in CLASSES and 1 / 3 <= float(row["probability"]) <= 1 for row in rows)
        assert {(row["holds"], row["attacked"]) for row in rows} == {("", "")}

    def test_a_file_that_cannot_be_read_costs_no_other(self, cli, own):
        (own / "images" / "test" / "crane" / "bad.png").write_text("no image")
        code, out, err = cli("predict", "run", "images/test/crane", "--format", "csv", "--device", "cpu")
        assert code == 2
        assert len(out.splitlines()) == 13
        assert err.splitlines() == [
            "srat: read 12 of 13 files; not read: cannot be read: 1 (images/test/crane/bad.png)",
            "srat: error: images/test/crane/bad.png: not a readable image",
        ]

    def test_it_says_how_many_of_how_many_files_it_read_and_why_not_the_others(self, cli, own):
        crane = own / "images" / "test" / "crane"
        (crane / "notes.txt").write_text("no image")
        (crane / "gone.png").symlink_to("nowhere.png")
        words = ("images/test/crane", "images/test/crane/im age 1.png", "--format", "csv", "--device", "cpu")
        code, out, err = cli("predict", "run", *words)
        assert (code, len(out.splitlines())) == (0, 13)
        names = "images/test/crane/gone.png, images/test/crane/notes.txt"
        why = f"dangling link: 1, not an image (.txt): 1 ({names})"
        assert err == f"srat: read 12 of 14 files; not read: {why}\n"
        code, _, err = cli("predict", "run", "images/test/crane/gone.png")
        assert (code, err.count("\n")) == (2, 1)
        assert err.endswith("'images/test/crane/gone.png' is a link to 'nowhere.png', which does not exist\n")

    def test_the_likeliest_classes(self, cli, own):
        words = ("predict", "run", "images/test/crane", "--top", "3", *PLAIN)
        rows = [json.loads(line) for line in cli(*words, "jsonl")[1].splitlines()]
        assert len(rows) == 12
        for row in rows:
            shares = [each["probability"] for each in row["top"]]
            assert len({each["class"] for each in row["top"]}) == 3
            assert shares == sorted(shares, reverse=True)
            assert sum(shares) == pytest.approx(1, abs=2e-6)
            assert row["top"][0] == {"class": row["class"], "probability": row["probability"]}
        for flat, row in zip(csv.DictReader(io.StringIO(cli(*words, "csv")[1])), rows, strict=True):
            assert list(flat)[-4:] == ["class_2", "probability_2", "class_3", "probability_3"]
            assert [flat["class"], flat["class_2"], flat["class_3"]] == [each["class"] for each in row["top"]]
            assert float(flat["probability_3"]) == row["top"][2]["probability"]
        assert json.loads(cli(*words, "json")[1])["predictions"] == rows
        text = cli(*words, "table")[1]
        assert re.search(r"class +probability +then", text)

    @pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\0"])
    def test_a_list_is_as_good_as_words(self, cli, own, monkeypatch, ends):
        names = [f"images/test/{name}" for name in ("naïve 猫/im age 3.png", "crane", "naïve 猫/im age 1.png")]
        content = ends.join(os.fsencode(name) for name in names) + 2 * ends
        Path("lists").mkdir()
        Path("lists/some.txt").write_bytes(b"\xef\xbb\xbf" + content)
        wanted = cli("predict", "run", *names, *PLAIN, "csv")
        assert (wanted[0], len(wanted[1].splitlines())) == (0, 15)
        assert cli("predict", "run", "--list", "lists/some.txt", *PLAIN, "csv") == wanted
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert cli("predict", "run", "--list", "-", *PLAIN, "csv") == wanted
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        more = cli("predict", "run", "images/test/<b>x</b>", "--list", "-", *PLAIN, "csv")[1]
        assert [line.split(",")[0] for line in more.splitlines()[7:]] == [
            line.split(",")[0] for line in wanted[1].splitlines()[1:]
        ]

    def test_what_a_list_names_in_vain_costs_no_other(self, cli, own):
        Path("list.txt").write_text("images/test/crane/im age 1.png\ngone.png\nimages/test/crane/im age 2.png\n")
        code, out, err = cli("predict", "run", "--list", "list.txt", *PLAIN, "csv")
        assert (code, len(out.splitlines())) == (2, 3)
        assert err.splitlines() == ["srat: read 2 of 2 files", "srat: error: there is no file or folder 'gone.png'"]

    @pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "table"])
    def test_a_few_at_a_time_say_the_same(self, cli, own, monkeypatch, kind):
        bad = own / "images" / "test" / "crane" / "im age 10.png"  # among the images of a part, …
        bad.write_text("no image")
        words = ("predict", "run", "images/test", "--top", "2", *PLAIN, kind)
        at_once, parts = cli(*words), parts_read(monkeypatch)
        monkeypatch.setattr(prediction, "BATCH_SIZE", 4)
        few = cli(*words)
        assert parts == [4] * 6 + [2]
        assert few == at_once
        assert few[0] == 2
        assert few[2].splitlines()[-1] == "srat: error: images/test/crane/im age 10.png: not a readable image"
        parts.clear()
        bad.with_name("im age 11.png").write_text("no image")
        monkeypatch.setattr(prediction, "BATCH_SIZE", 1)  # … or all of one
        assert cli(*words)[0] == 2
        assert parts == [1] * 26

    def test_under_attack_all_go_together(self, cli, own, monkeypatch):
        """An image's random numbers follow from its place."""
        words = ("predict", "run", "images/test", "--device", "cpu", "--format", "csv")
        before, parts = cli(*words), parts_read(monkeypatch)
        monkeypatch.setattr(prediction, "BATCH_SIZE", 4)
        assert cli(*words)[1] == before[1]
        assert parts == [26]

    def test_a_bar_takes_nothing_of_what_is_written(self, cli, own, monkeypatch):
        """While rich draws, what is printed comes above the bar, wherever it was to go."""
        monkeypatch.setattr(prediction, "BATCH_SIZE", 4)
        drawn = io.StringIO()
        console = PatientConsole(force_terminal=True, file=drawn, width=120)
        monkeypatch.setattr("srat.cli.commands.predict.make_console", lambda *_, **__: console)
        out = cli("predict", "run", "images/test", *PLAIN, "jsonl")[1]
        assert len([json.loads(line) for line in out.splitlines()]) == 26
        assert "reading images" in drawn.getvalue()
        assert "probability" not in drawn.getvalue()

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "expected a run and images"),
            (["run"], "expected a run and images"),
            (["run", "nowhere.png"], "there is no file or folder 'nowhere.png'"),
            (["nowhere", "images"], "'nowhere' is not a run's folder"),
            (["run", "images", "--attack", "pdg-20"], "unknown attack 'pdg-20'"),
            (["run", "images", "--epsilon", "-1"], "epsilon"),
            (["run", "images", "--out", "x.csv"], "--out: expected --format csv, json or jsonl"),
            (["run", "images", "--format", "csv", "--out", "no/x.csv"], ": expected the name of a file"),
            (["run", "run"], "'run' has no image in it"),
            (["run", "images", "--top", "4"], "--top: expected 1 to 3 classes, got 4"),
            (["--list", "run/config.json"], "expected a run and images"),
            (["run", "--list", "nowhere.txt"], "nowhere.txt: cannot be read"),
            (["run", "--list", "/dev/null"], "expected a file, got a device"),
        ],
    )
    def test_mistakes_are_one_line(self, cli, own, words, said):
        code, out, err = cli("predict", *words)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1


class TestExport:
    def test_writes_into_the_run_and_says_how_near_it_is(self, cli, own):
        code, out, err = cli("export", "run", "--to", "torch-export")
        assert (code, err) == (0, "")
        assert re.fullmatch(
            r"run/model\.pt2: images \(any number, 3, 12, 12\) in \[0, 1\] → 3 classes; "
            r"at most \de[+-]\d+ from the trained model; how to use it: run/model\.pt2\.md\n",
            out,
        )

    def test_a_hub_folder_is_all_that_a_stranger_needs(self, cli, own, trained, tmp_path):
        assert cli("export", "run", "--to", "hub", "--out", "hub")[0] == 0
        shutil.move(own / "hub", tmp_path / "elsewhere")
        shutil.rmtree(own)
        hub = tmp_path / "elsewhere"
        assert {path.name for path in hub.iterdir()} == {
            "README.md",
            "config.json",
            "evaluation.json",
            "model.safetensors",
            "report.html",
        }
        card = (hub / "README.md").read_text()
        for said in ("L∞, ε = 16/255", "naïve 猫", "12 to 6 per class", "## Limits", "3 × 12 × 12"):
            assert said in card
        snippet = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
        done = subprocess.run(
            [sys.executable, "-c", snippet, trained / "images" / "test" / "crane"],
            cwd=hub,
            check=True,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            stdout=subprocess.PIPE,
            text=True,
        )
        wanted = cli("predict", hub / "model.safetensors", trained / "images" / "test" / "crane", *PLAIN, "csv")[1]
        rows = list(csv.DictReader(io.StringIO(wanted)))
        found = [line.split("\t") for line in done.stdout.splitlines()]
        assert [(path, name) for path, name, _ in found] == [(row["file"], row["class"]) for row in rows]
        for path in hub.iterdir():
            for place in (tmp_path, trained):  # where the run lies, and the images
                assert str(place).encode() not in path.read_bytes(), path.name

    def test_the_exported_weights_are_the_runs(self, cli, own):
        assert cli("export", "run", "--to", "hub")[0] == 0
        images = torch.rand(3, 3, 12, 12)
        with torch.no_grad():
            assert torch.equal(srat.load("run")(images).logits, srat.load("run/hub/model.safetensors")(images).logits)

    def test_other_weights_are_exported_beside_the_last(self, cli, own):
        file = open_tensors(Path("run/model.safetensors"))
        other = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in file.tensors().items()}
        write_tensors(Path("run/model-best.safetensors"), other, file.facts)
        shutil.copy("run/evaluation.json", "run/evaluation-best.json")
        for words in ((), ("--weights", "best")):
            assert cli("export", "run", "--to", "hub", *words)[0] == 0
        images = torch.rand(3, 3, 12, 12)
        with torch.no_grad():
            last, best = (srat.load(f"run/{name}/model.safetensors")(images).logits for name in ("hub", "hub-best"))
            assert torch.equal(last, srat.load("run")(images).logits)
            assert torch.equal(best, srat.load("run", which="best")(images).logits)
        assert not torch.equal(last, best)

    def test_the_cards_front_matter_is_yaml(self, cli, own):
        yaml = pytest.importorskip("yaml")
        assert cli("export", "run", "--to", "hub")[0] == 0
        head = Path("run/hub/README.md").read_text().split("---")[1]
        content = yaml.safe_load(head)
        assert content["library_name"] == "srat"
        assert len(content["model-index"][0]["results"][0]["metrics"]) == 2

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "expected the folder of a run"),
            (["run"], "expected --to torch-export, onnx, hub or robustbench"),
            (["run", "--to", "onxx"], "--to"),
            (["nowhere", "--to", "onnx"], "'nowhere' is not a run's folder"),
            (["run", "--to", "onnx", "--out", "no/m.onnx"], ": expected the name of a file"),
            (["run", "--to", "hub", "--out", "images"], ": expected a new or an empty folder"),
            (["run", "--to", "onnx", "--weights", "best"], "there is no model-best.safetensors"),
        ],
    )
    def test_mistakes_are_one_line(self, cli, own, words, said):
        code, out, err = cli("export", *words)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1


def test_images_of_224_pixels(cli, tmp_path, monkeypatch):
    """Grey and colour, of many sizes, through all that an engineer does with them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for c, (name, count) in enumerate({"día soleado": 10, "雨": 5}.items()):
        (tmp_path / "images" / name).mkdir(parents=True)
        for n in range(count):
            pixels = rng.integers(0, 120, (*rng.integers(150, 400, 2), 3), dtype=np.uint8) + 100 * c
            Image.fromarray(pixels if n % 2 else pixels[..., 0]).save(tmp_path / "images" / name / f"{n}.png")
    shape = ["--data.size", "224", "--model", "small-cnn", "--batch-size", "8", "--holdout.fraction", "0"]
    code, out, err = cli("train", "--data", "folder", "--data-dir", "images", *shape, *quick(), "--out", "run")
    assert (code, err) == (0, "")
    assert "día soleado" in out
    code, out, _ = cli("predict", "run", "images/雨", "--format", "json", "--device", "cpu")
    assert (code, len(json.loads(out)["predictions"])) == (0, 5)
    assert cli("export", "run", "--to", "torch-export")[0] == 0
    assert srat.load("run")(torch.rand(1, 3, 224, 224)).logits.shape == (1, 2)
    assert Path("run/report.html").stat().st_size < 3_000_000

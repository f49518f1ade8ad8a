"""Images of one's own through the command line: what is looked at once, and what is said of them."""

import itertools
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import srat.data.image_folder.images
import srat.data.image_folder.levels
import srat.data.sources.folder
from srat.cli import main

QUICK = ["--model", "small-cnn", "--model.width", "2", "--epochs", "1", "--evaluation.steps", "1", "--device", "cpu"]


def fill(folder, *, each=8, deep=False):
    """Write images of two classes; dark ones of 16 bits where they are to be deep."""
    rng = np.random.default_rng(0)
    for name, level in (("ant", 60), ("bee", 130)):
        (folder / name).mkdir(parents=True)
        for n in range(each):
            pixels = rng.integers(0, level, (8, 8))
            Image.fromarray(pixels.astype(np.uint16 if deep else np.uint8)).save(folder / name / f"{n}.png")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("srat.planning.planning.MEASURING", 0.0)  # of networks, the first alone is measured
    return tmp_path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on images that lie beside it."""
    folder = tmp_path_factory.mktemp("own")
    fill(folder / "images")
    words = ["--data", "folder", "--data-dir", str(folder / "images"), "--method", "natural", *QUICK]
    assert main(["train", *words, "--out", str(folder / "run")]) == 0
    return folder / "run"


def counting(monkeypatch, module, name):
    """Return a list that fills with what a function of a module is called with."""
    seen, real = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda path, *rest, **how: seen.append(path) or real(path, *rest, **how))
    return seen


class TestOnce:
    def test_training_looks_at_a_folder_once(self, cli, place, monkeypatch):
        fill(place / "images", deep=True)
        scanned = counting(monkeypatch, srat.data.sources.folder, "scan")
        headers = counting(monkeypatch, srat.data.image_folder.images, "read_header")
        levels = counting(monkeypatch, srat.data.image_folder.levels, "largest_level")
        code, out, _ = cli(
            "train", "--data", "folder", "--data-dir", "images", "--method", "ce", *QUICK, "--out", "run"
        )
        assert code == 0
        assert "images of more than 8 bits use only levels up to 129" in out
        assert len(scanned) == 1
        assert len(headers) == len(set(headers)) == 16
        assert len(levels) == len(set(levels)) == 16

    def test_what_is_said_of_the_images_is_said_once(self, cli, run, monkeypatch):
        monkeypatch.setattr("srat.audit.auditing.SOURCE_STEPS", 20)
        (run.parent / "images" / "ant" / "late.png").write_bytes((run.parent / "images" / "ant" / "0.png").read_bytes())
        try:
            code, out, _ = cli("audit", str(run), "--check", "transfer", "--images", "8", "--device", "cpu")
        finally:
            (run.parent / "images" / "ant" / "late.png").unlink()
        assert code in (0, 3)
        assert out.count("1 file is a copy of a recorded image") == 1


class TestSaid:
    def test_how_many_images_were_held_out(self, cli, place, run):
        held = len(json.loads((run / "indices.json").read_text())["held_out"])
        code, out, _ = cli("train", "--out", str(run))
        assert (code, held > 1) == (0, True)
        assert f"; {held} more were held out.\n" in out
        fill(place / "images")
        words = ("--data", "folder", "--data-dir", "images", "--holdout.fraction", "0", "--method", "natural", *QUICK)
        code, out, _ = cli("train", *words)
        assert code == 0
        assert re.search(r"The weights learned from \d+(?: to \d+)? images per class \(\d\.\d : 1\)\.\n", out)
        assert "held out" not in out

    def test_natural_training_attacks_nothing(self, cli, place, run):
        fill(place / "images")
        code, out, _ = cli("train", "--data", "folder", "--data-dir", "images", "--method", "natural", *QUICK)
        assert code == 0
        assert "\nno attack, no class weights\n" in out
        line = next(line for line in out.splitlines() if line.startswith("epoch 1/1"))
        assert "attacked" not in line
        assert "clean" not in line

    def test_weights_that_apply_from_the_start(self, cli, place):
        fill(place / "images")
        words = ("--data", "folder", "--data-dir", "images", "--method", "cb-reweight", "--guard", "none", *QUICK)
        code, out, _ = cli("train", *words, "--attack.steps", "1")
        assert code == 0
        assert "weights effective-number from the start\n" in out
        assert "0 epochs" not in out

    def test_of_files_that_are_not_read_training_says_little_and_where_more_is(self, cli, place):
        folder = place / "my images é"
        fill(folder)
        for kind, n in itertools.product(("txt", "doc", "xml", "log", "bin", "dat"), range(5)):
            (folder / "ant" / f"{'a long name of a file ' * 3}{n}.{kind}").write_text("no image")
        words = ("--data", "folder", "--data-dir", folder, "--method", "natural", *QUICK)
        code, out, _ = cli("train", *words)
        assert code == 0
        note = next(line for line in out.splitlines() if "not read" in line)
        assert note.startswith("note: 30 of 46 files are not read: not an image (.")
        assert (note.count("not an image (."), len(note) < 600) == (4, True)
        assert "other reasons: 10" in note
        advice = re.search(r"to see more: srat (data folder .*)$", note)[1]
        code, out, _ = cli(*shlex.split(advice))
        assert code == 0
        assert all(f"not an image (.{kind}): 5" in out for kind in ("txt", "doc", "xml", "log", "bin", "dat"))


class TestResumeHints:
    @pytest.mark.parametrize(
        "words",
        [
            ["--resume", "RUN"],
            ["RUN"],
            ["RUN", "--resume"],
            ["--resume=RUN"],
            ["--device", "cpu", "--resume", "RUN", "--compile", "off"],
            ["--resume", "True", "--out", "RUN"],
            ["--resume=yes", "--out=RUN"],
        ],
    )
    def test_what_to_type_works(self, cli, run, place, words):
        (place / "a run").symlink_to(run)
        code, _, err = cli("train", *(word.replace("RUN", "a run") for word in words))
        assert (code, err.count("\n")) == (2, 1)
        advice = re.search(r"; type: srat (train --resume .*)$", err.strip())[1]
        assert all(word in shlex.split(advice) for word in words if word in ("--device", "--compile", "off"))
        code, out, _ = cli(*shlex.split(advice))
        assert code == 0
        assert "is finished; nothing was changed" in out

    @pytest.mark.parametrize("words", [["--resume", "ruin"], ["--resume=ruin"]])
    def test_where_there_is_no_run_those_beside_are_named(self, cli, run, place, words):
        (place / "run").symlink_to(run)
        code, _, err = cli("train", *words)
        assert code == 2
        assert err == (
            "srat: error: --resume: there is no run in 'ruin' to continue, did you mean 'run'?; there are: run\n"
        )

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            ((), "as in 'srat train --resume --out runs/a'\n"),
            (("b c",), "as in 'srat train --resume --out 'runs/b c''\n"),
            (("b", "c"), "as in 'srat train --resume --out runs/a'; there are: runs/b, runs/c\n"),
        ],
    )
    def test_without_a_folder_the_runs_there_are_named(self, cli, run, place, names, said):
        for name in names:
            Path("runs", name).mkdir(parents=True)
            shutil.copy(run / "config.json", Path("runs", name))
        code, _, err = cli("train", "--resume")
        assert code == 2
        assert err == f"srat: error: --resume: expected --out with the run's folder, {said}"

    def test_a_word_that_names_no_run_gets_no_hint(self, cli, place):
        code, _, err = cli("train", "photos")
        assert (code, err) == (2, "srat: error: expected no further word, got 'photos'\n")


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["data", "folder", ""], ""),
        (["data", "folder", "--data-dir", ""], "--data-dir: "),
        (["data", "folder", "--data-dir="], "--data-dir: "),
        (["train", "--out", ""], "--out: "),
        (["train", "--config="], "--config: "),
        (["predict", "run", ""], ""),
        (["evaluate", ""], ""),
        (["runs", ""], ""),
        (["report", "a", ""], ""),
    ],
)
def test_an_empty_word_is_refused_and_not_taken_for_this_folder(cli, place, words, flag):
    fill(place / "images")
    code, out, err = cli(*words)
    assert (code, out) == (2, "")
    assert err == f"srat: error: {flag}expected a value, got an empty one ('')\n"
    assert [path.name for path in place.iterdir()] == ["images"]


class TestAllThatCannotBeRead:
    """A file that says nothing of itself, one of the training and one of the test whose pixels are cut off."""

    @pytest.fixture
    def broken(self, place):
        for part in ("train", "test"):
            fill(place / "images" / part)
            cut = place / "images" / part / "ant" / "0.png"
            cut.write_bytes(cut.read_bytes()[:-30])
        (place / "images" / "train" / "bee" / "1.png").write_text("words")
        return place / "images"

    def train(self, cli, *words):
        return cli("train", "--data", "folder", "--data-dir", "images", "--method", "natural", *QUICK, *words)

    @pytest.mark.parametrize("words", [(), ("--data.streaming", "never"), ("--data.size", "8")])
    def test_is_named_at_once_before_a_run_begins(self, cli, broken, words):
        code, out, error = self.train(cli, *words)
        assert (code, out) == (2, "")
        assert "3 files cannot be read: " in error
        for name in ("train/ant/0.png", "train/bee/1.png", "test/ant/0.png"):
            assert error.count(f"{name}: not a readable image") == 1

    def test_is_named_at_once_whose_headers_are_whole(self, cli, broken):
        (broken / "train" / "bee" / "1.png").unlink()
        code, out, error = self.train(cli, "--data.size", "8")
        assert (code, out) == (2, "")
        assert "2 files cannot be read: " in error

    def test_of_the_training_alone_is_named_before_a_run_begins(self, cli, broken):
        for name in ("train/bee/1.png", "test/ant/0.png"):
            (broken / name).unlink()
        code, out, error = self.train(cli, "--data.size", "8")
        assert code == 2
        assert "images/train/ant/0.png: not a readable image, or truncated" in error
        assert "new run" not in out
        assert not (broken.parent / "runs").exists()

    def test_is_not_looked_for_where_images_stay_in_their_files(self, cli, broken):
        _, _, error = self.train(cli, "--data.size", "8", "--data.streaming", "always")
        assert "images/train/bee/1.png: not a readable image" in error
        assert "0.png" not in error

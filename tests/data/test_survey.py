"""A survey of a folder against what was put into it."""

import os
import re
import shlex
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quick import quick
from srat.cli.commands.train import read_arguments
from srat.data import survey as surveying
from srat.data.sources.folder import Folder
from srat.data.survey import survey
from srat.report.terminal.survey import FEW, reach, remarks, survey_table
from srat.runs.folder import RunFolder
from srat.statistics.intervals import wilson

RNG = np.random.default_rng(0)


def put(path, size=(8, 8), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Twenty images of a, ten of b, five of c."""
    for name, count in (("a", 20), ("b b", 10), ("ü", 5)):
        for n in range(count):
            put(tmp_path / name / f"{n}.png")
    return tmp_path


def texts(found):
    return " | ".join(text for text, _ in remarks(found))


def test_counts_are_those_that_training_sees(folder):
    found = survey(Folder(dir=folder))
    source = Folder(dir=folder)
    for part, dataset in (("train", source.train()), ("test", source.test())):
        assert tuple(found.counts(part).values()) == dataset.counts
        assert tuple(found.counts(part)) == dataset.class_names
    assert not found.own_test
    assert "largest to smallest class: 3.5 : 1" in texts(found)


def test_a_folders_own_parts_are_kept(tmp_path):
    for part, count in (("train", 4), ("test", 2)):
        for name in "xy":
            for n in range(count):
                put(tmp_path / part / name / f"{part}{n}.png")
    found = survey(Folder(dir=tmp_path))
    assert found.own_test
    assert found.counts("train") == {"x": 4, "y": 4}
    assert found.counts("test") == {"x": 2, "y": 2}


def test_every_unreadable_file_is_named_and_none_stops_the_rest(folder):
    (folder / "a" / "bad.png").write_text("no image")
    whole = (folder / "a" / "0.png").read_bytes()
    (folder / "ü" / "half.png").write_bytes(whole[: len(whole) // 2])
    found = survey(Folder(dir=folder))
    assert {file.path.name for file in found.unreadable} == {"bad.png", "half.png"}
    assert len(found.readable) == 35
    assert sum(sum(found.counts(part).values()) for part in ("train", "test")) == 35
    assert "2 files cannot be read:" in texts(found)


class TestTwins:
    def test_within_several_classes(self, folder):
        shutil.copy(folder / "a" / "0.png", folder / "ü" / "same.png")
        [twins] = survey(Folder(dir=folder)).twins
        assert set(twins.labels) == {"a", "ü"}
        assert "1 image appears in several classes (one label must be wrong):" in texts(survey(Folder(dir=folder)))

    def test_across_training_and_test(self, tmp_path):
        for part in ("train", "test"):
            for name in "xy":
                put(tmp_path / part / name / "1.png")
        shutil.copy(tmp_path / "train" / "x" / "1.png", tmp_path / "test" / "x" / "2.png")
        [twins] = survey(Folder(dir=tmp_path)).twins
        assert twins.parts == ("train", "test")
        assert "which makes accuracies too good" in texts(survey(Folder(dir=tmp_path)))

    def test_in_another_format_too(self, folder):
        Image.open(folder / "a" / "0.png").save(folder / "a" / "again.bmp")
        assert {Path(name).name for name in survey(Folder(dir=folder)).twins[0].names} == {"0.png", "again.bmp"}

    def test_not_where_pixels_or_shapes_differ(self, tmp_path):
        flat = np.zeros((4, 8, 3), np.uint8)
        for name, pixels in (("x", flat), ("y", flat.reshape(8, 4, 3)), ("z", flat + 1)):
            for n in range(2):
                (tmp_path / name).mkdir(exist_ok=True)
                Image.fromarray(pixels + 10 * n).save(tmp_path / name / f"{n}.png")
        assert survey(Folder(dir=tmp_path, test_fraction=0.5)).twins == []


def test_sizes_and_colours_are_said(folder):
    put(folder / "a" / "grey.png", mode="L")
    assert "all images have 8 × 8 pixels, 1 of them grey" in texts(survey(Folder(dir=folder)))
    put(folder / "a" / "wide.png", size=(30, 6))
    assert "2 sizes, from 8 × 8 to 30 × 6 pixels" in texts(survey(Folder(dir=folder)))


def test_an_upright_size_is_that_of_the_training(tmp_path):
    for name in "xy":
        for n in range(20):
            path = put(tmp_path / name / f"{n}.jpg", size=(10, 20))
            exif = Image.Exif()
            exif[0x0112] = 6
            Image.open(path).save(path, exif=exif)
    source = Folder(dir=tmp_path)
    assert survey(source).sizes == [((20, 10), 40)]
    assert source.train().images.shape[2:] == (10, 20)


def test_the_reach_is_half_of_the_widest_interval():
    for images in (2, 10, 50, 1_000):
        widths = [wilson(k, images).high - wilson(k, images).low for k in range(images + 1)]
        assert reach(images) == pytest.approx(max(widths) / 2)
    assert reach(0) == 1


def test_small_classes_are_marked(folder):
    lines = {
        row.split()[0]: row for row in rendered(survey_table(survey(Folder(dir=folder)))).splitlines() if row.split()
    }
    assert "few to learn from" in lines["ü"]
    assert "rare" in lines["ü"]
    assert "few to learn from" not in lines["a"]
    assert "too few to measure" in lines["a"]  # four test images
    assert FEW == 10


def rendered(table):
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_command_shows_it_all_and_its_advice_works(folder, cli):
    code, out, _ = cli("data", "folder", folder)
    assert code == 0
    assert "35 images in 3 classes" in out
    assert "held out to choose the best epoch; --holdout.fraction 0 holds out none" in out
    assert re.search(r"A plan for 30m \(--time\), measured in a moment: about \d+ (s|min): \d+ epochs? of ", out)
    (command,) = re.findall("^To train on it: (srat train .*)$", out, re.MULTILINE)
    config = read_arguments(shlex.split(command)[2:])[1]
    assert (config.data, config.batch_size) == (Folder(dir=folder), 16)
    _, out, _ = cli("data", "folder", folder, "--data.test-fraction", "0.5", "--data.color", "grey", "--time", "2m")
    assert "--data.color grey --data.test-fraction 0.5" in out
    assert "A plan for 2m (--time), measured in a moment: " in out
    shown = cli("data", "folder", folder, "--imbalance", "step", "--ratio", "2")
    assert shown[0] == 0
    assert "kept indices" in shown[1]


def test_a_time_that_does_not_suffice_loses_no_survey(folder, cli):
    code, out, _ = cli("data", "folder", folder, "--time", "1s")
    assert code == 0
    assert "35 images in 3 classes" in out
    assert re.search(r"No plan: --time: expected at least \d+s for these images on this machine", out)
    code, out, err = cli("data", "folder", folder, "--time", "soon")
    assert (code, out) == (2, "")
    assert "--time: expected a time with its unit" in err


@pytest.mark.parametrize("at", ["_look", "leaks_among"])
def test_ctrl_c_is_answered_between_two_images(at, folder, cli, monkeypatch):
    real, asked = getattr(surveying, at), []

    def interrupted(*args, **settings):
        asked.append(args)
        if len(asked) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **settings)

    monkeypatch.setattr(surveying, at, interrupted)
    code, out, err = cli("data", "folder", folder, "--data.workers", "1")
    assert (code, out, err) == (130, "", "srat: stopped by SIGINT\n")
    assert len(asked) < 30


def test_where_nothing_can_be_read_that_is_said(cli, tmp_path):
    for name in "xy":
        (tmp_path / name).mkdir()
        for n in range(2):
            (tmp_path / name / f"{n}.png").write_text("no image")
    code, out, _ = cli("data", "folder", tmp_path)
    assert code == 0
    assert "4 files cannot be read:" in out
    assert "fix or remove the files that cannot be read" in out


def test_an_empty_class_does_not_hide_what_else_is_wrong(folder, cli):
    (folder / "empty").mkdir()
    (folder / "a" / "bad.png").write_text("no image")
    shutil.copy(folder / "a" / "0.png", folder / "ü" / "same.png")
    code, out, _ = cli("data", "folder", folder)
    assert code == 0
    assert "bad.png: not a readable image" in out
    assert "1 image appears in several classes" in out
    mend = "fix or remove the files that cannot be read, or leave them out (--data.skip-unreadable)"
    said = f"{mend}; {folder}: no image in class empty"
    assert out.splitlines()[-1] == f"Not ready for training: {said}"


def test_names_that_are_not_utf8_are_borne(folder, cli, tmp_path_factory):
    put(folder / "a" / os.fsdecode(b"caf\xe9.png"))
    run = tmp_path_factory.mktemp("runs") / "a"
    words = ["--data", "folder", "--data-dir", folder, "--holdout.fraction", "0", "--out", run]
    assert cli("train", *words, *quick())[0] == 0
    assert set(RunFolder(run).record.parts["train"]) < {
        os.fsdecode(b"a/caf\xe9.png"),
        *(f"{path.parent.name}/{path.name}" for path in folder.rglob("*.png")),
    }
    for kind in ("json", "csv"):
        code, out, _ = cli("predict", run, folder / "a", "--format", kind, "--device", "cpu")
        assert code == 0
        assert "xe9.png" in out


@pytest.mark.parametrize(
    ("path", "said"), [("", "got an empty one"), ("nowhere", "nowhere"), (".", "expected one folder per class")]
)
def test_no_such_folder_is_one_line(cli, tmp_path, monkeypatch, path, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("data", "folder", path)
    assert (code, out) == (2, "")
    assert said in err

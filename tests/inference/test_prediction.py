"""Predictions against the model itself, and against the evaluation of the same images."""

import os
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from srat.attacks import PGD, Natural
from srat.core.errors import UserError
from srat.data import Dataset
from srat.data.reading.image_files import ImageFiles
from srat.data.sources.folder import Folder
from srat.evaluation.evaluate import examine
from srat.evaluation.observer import Observer
from srat.evaluation.serving import BATCH_SIZE
from srat.inference.prediction import predict
from srat.inference.reading import image_files, read_images
from srat.models import ImageShape

NAMES = ("a", "b", "c")
ATTACK = PGD(epsilon=0.05, step_size=0.02, steps=5)


@pytest.fixture
def model(rng):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 3))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(3, 108, generator=rng) / 3)
    return model.eval()


def test_is_what_the_model_says(model, images, rng):
    images = torch.rand(300, 3, 6, 6, generator=rng)
    found = predict(model, images, Natural(), class_names=NAMES)
    shares = model(images).softmax(dim=1)
    assert [each.label for each in found] == shares.argmax(dim=1).tolist()
    assert [each.probability for each in found] == pytest.approx(shares.max(dim=1).values.tolist(), abs=1e-6)
    assert {(each.holds, each.attacked) for each in found} == {(None, None)}


def test_holds_where_an_evaluation_of_these_labels_finds_nothing(model, rng):
    images = torch.rand(40, 3, 6, 6, generator=rng)
    found = predict(model, images, ATTACK, class_names=NAMES, seed=3)
    labels = model(images).argmax(dim=1)
    outcome = examine(model, Dataset(images, labels, NAMES), ATTACK, seed=3)
    assert [each.holds for each in found] == outcome.survived.tolist()
    assert 0 < sum(each.holds for each in found) < 40
    assert all((each.attacked == each.label) == each.holds for each in found)


def test_a_larger_budget_breaks_no_fewer(model, rng):
    images = torch.rand(40, 3, 6, 6, generator=rng)
    held = [
        sum(each.holds for each in predict(model, images, PGD(epsilon=e, step_size=e / 4, steps=20), class_names=NAMES))
        for e in (1 / 255, 8 / 255, 64 / 255)
    ]
    assert held == sorted(held, reverse=True)
    assert held[0] > held[-1]


def colours(folder, n):
    """Write images that differ."""
    rng = np.random.default_rng(1)
    paths = [folder / f"{i}.png" for i in range(n)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).save(path)
    return paths


def count_decoding(monkeypatch):
    """Return lists that fill with the files that are decoded, and the names of the threads that do it."""
    decoded, threads, decode = [], set(), ImageFiles._decode

    def counting(self, path):
        decoded.append(path)
        threads.add(threading.current_thread().name)
        return decode(self, path)

    monkeypatch.setattr(ImageFiles, "_decode", counting)
    return decoded, threads


class TestFiles:
    def test_are_taken_in_order_folders_and_all_each_once(self, tmp_path):
        for name in ("b/2.png", "b/1.JPG", "b/c/3.bmp", "a.png", "b/notes.txt"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.touch()
        chosen = image_files([tmp_path / "a.png", tmp_path / "b", tmp_path / "b" / "2.png"])
        named = [str(path.relative_to(tmp_path)) for path in chosen.images]
        assert named == ["a.png", "b/1.JPG", "b/2.png", "b/c/3.bmp"]
        assert [(each.path.name, each.why) for each in chosen.passed] == [("notes.txt", "not an image (.txt)")]

    def test_of_two_folders_one_within_the_other_count_once(self, tmp_path):
        for name in ("b/1.png", "b/c/2.png", "b/c/notes.txt", "b/c/table.csv"):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        chosen = image_files([tmp_path / "b", tmp_path / "b" / "c"])
        assert len(chosen.images) == 2
        assert sorted(each.path.name for each in chosen.passed) == ["notes.txt", "table.csv"]
        # A file that is named itself is taken as it is, whatever the folder makes of it.
        chosen = image_files([tmp_path / "b", tmp_path / "b" / "c" / "notes.txt"])
        assert [path.name for path in chosen.images] == ["1.png", "2.png", "notes.txt"]
        assert [each.path.name for each in chosen.passed] == ["table.csv"]

    def test_links_to_nothing_and_pipes_are_told(self, tmp_path):
        (tmp_path / "gone.png").symlink_to("elsewhere.png")
        with pytest.raises(UserError, match=r"gone.png' is a link to 'elsewhere.png', which does not exist$"):
            image_files([tmp_path / "gone.png"])
        with pytest.raises(UserError, match=r"has no image in it, only other files: dangling link: 1 \(gone"):
            image_files([tmp_path])
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(UserError, match=r"pipe.png': expected a file or a folder, got a device or a pipe"):
            image_files([tmp_path / "pipe.png"])

    @pytest.mark.parametrize(("name", "said"), [("nowhere.png", "no file or folder"), (".", "has no image in it")])
    def test_that_are_not_there_are_told(self, tmp_path, monkeypatch, name, said):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match=said):
            image_files([tmp_path / name])

    @pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
    def test_become_what_the_model_takes(self, tmp_path, channels, mode):
        rgb = np.random.default_rng(0).integers(0, 255, (20, 10, 3), dtype=np.uint8)
        Image.fromarray(rgb).save(tmp_path / "x.png")
        files = read_images([tmp_path / "x.png"], ImageShape(channels=channels, height=8, width=6))
        assert not files.wrong
        expected = np.asarray(Image.fromarray(rgb).convert(mode).resize((6, 8), Image.Resampling.BICUBIC))
        found = files.images[:][0].permute(1, 2, 0).numpy()
        assert np.array_equal(found, expected.reshape(8, 6, channels))

    def test_that_cannot_be_read_do_not_stop_the_others(self, tmp_path):
        Image.new("L", (4, 4)).save(tmp_path / "good.png")
        (tmp_path / "bad.png").write_text("no image")
        whole = (tmp_path / "good.png").read_bytes()
        (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
        paths = [tmp_path / name for name in ("bad.png", "good.png", "half.png")]
        files = read_images(paths, ImageShape(channels=1, height=4, width=4))
        assert files.paths == (tmp_path / "good.png",)
        assert len(files.images) == 1
        assert files.unread == (paths[0], paths[2])
        assert [str(error).split(":")[0] for error in files.wrong] == [str(paths[0]), str(paths[2])]
        nothing = read_images(paths[:1], ImageShape(channels=1, height=4, width=4))
        assert (len(nothing.images), nothing.paths, nothing.unread) == (0, (), (paths[0],))

    @pytest.mark.parametrize("attack", [Natural(), ATTACK])
    def test_each_is_decoded_once_by_several_threads(self, tmp_path, monkeypatch, model, attack):
        decoded, threads = count_decoding(monkeypatch)
        paths = colours(tmp_path, BATCH_SIZE + 20)
        files = read_images(paths, ImageShape(channels=3, height=6, width=6), Folder(workers=3))
        predict(model, files.images, attack, class_names=NAMES)
        assert sorted(decoded) == sorted(paths)
        assert "MainThread" not in threads

    def test_more_than_memory_bears_stay_in_their_files(self, tmp_path, monkeypatch, model):
        paths = colours(tmp_path, 30)
        shape = ImageShape(channels=3, height=6, width=6)
        kept = read_images(paths, shape)
        monkeypatch.setattr("srat.inference.reading.free_memory", lambda: 4 * kept.images.nbytes - 1)
        decoded, _ = count_decoding(monkeypatch)
        left = read_images(paths, shape)
        assert isinstance(kept.images, torch.Tensor)
        assert isinstance(left.images, ImageFiles)
        assert len(decoded) == 30
        same = [predict(model, files.images, ATTACK, class_names=NAMES) for files in (kept, left)]
        assert same[0] == same[1]

    def test_reading_can_be_stopped(self, tmp_path):
        class Stopping(Observer):
            def images_done(self, count):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            read_images(colours(tmp_path, 3), ImageShape(channels=3, height=6, width=6), observer=Stopping())

    def test_a_model_of_other_channels_takes_none(self):
        with pytest.raises(UserError, match="images of 2 channels"):
            read_images([], ImageShape(channels=2, height=4, width=4))

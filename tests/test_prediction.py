"""Predictions against the model itself, and against the evaluation of the same images."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from srat.attacks import PGD, Natural
from srat.data import Dataset
from srat.errors import UserError
from srat.evaluation import examine
from srat.models import ImageShape
from srat.prediction import image_files, predict, read_images

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


class TestFiles:
    def test_are_taken_in_order_folders_and_all_each_once(self, tmp_path):
        for name in ("b/2.png", "b/1.JPG", "b/c/3.bmp", "a.png", "b/notes.txt"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.touch()
        found, notes = image_files([tmp_path / "a.png", tmp_path / "b", tmp_path / "b" / "2.png"])
        assert [str(path.relative_to(tmp_path)) for path in found] == ["a.png", "b/1.JPG", "b/2.png", "b/c/3.bmp"]
        assert notes == ["1 of 4 files is not read: not an image (.txt): 1 (notes.txt)"]

    @pytest.mark.parametrize(("name", "said"), [("nowhere.png", "no file or folder"), (".", "has no image in it")])
    def test_that_are_not_there_are_told(self, tmp_path, monkeypatch, name, said):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match=said):
            image_files([tmp_path / name])

    @pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
    def test_become_what_the_model_takes(self, tmp_path, channels, mode):
        rgb = np.random.default_rng(0).integers(0, 255, (20, 10, 3), dtype=np.uint8)
        Image.fromarray(rgb).save(tmp_path / "x.png")
        files, _, wrong = read_images([tmp_path / "x.png"], ImageShape(channels=channels, height=8, width=6))
        assert not wrong
        expected = np.asarray(Image.fromarray(rgb).convert(mode).resize((6, 8), Image.Resampling.BICUBIC))
        found = files[:][0].permute(1, 2, 0).numpy()
        assert np.array_equal(found, expected.reshape(8, 6, channels))

    def test_that_cannot_be_read_do_not_stop_the_others(self, tmp_path):
        Image.new("L", (4, 4)).save(tmp_path / "good.png")
        (tmp_path / "bad.png").write_text("no image")
        whole = (tmp_path / "good.png").read_bytes()
        (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
        paths = [tmp_path / name for name in ("bad.png", "good.png", "half.png")]
        files, _, wrong = read_images(paths, ImageShape(channels=1, height=4, width=4))
        assert files.paths == (tmp_path / "good.png",)
        assert [str(error).split(":")[0] for error in wrong] == [str(paths[0]), str(paths[2])]
        with pytest.raises(UserError, match=r"bad\.png"):
            read_images(paths[:1], ImageShape(channels=1, height=4, width=4))

    def test_a_model_of_other_channels_takes_none(self):
        with pytest.raises(UserError, match="images of 2 channels"):
            read_images([], ImageShape(channels=2, height=4, width=4))

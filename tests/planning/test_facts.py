"""What a plan is told of the data."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

import srat
from srat.core.errors import UserError
from srat.data.sources.folder import Folder
from srat.planning.facts import READINGS, Facts, look_at, sides_of, stored_sizes


def put(path, size, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 7).save(path)


@pytest.fixture
def folder(tmp_path):
    """Training and test images of two classes and two sizes."""
    for part, counts in (("train", (12, 4)), ("test", (3, 2))):
        for name, count in zip("ab", counts, strict=True):
            for n in range(count):
                put(tmp_path / part / name / f"{n}.png", (60 + 10 * (n % 2), 50))
    return tmp_path


def ticking(step=1.0):
    ticks = itertools.count()
    return lambda: step * next(ticks)


@pytest.mark.parametrize(
    ("sizes", "sides"),
    [
        ([], ()),
        ([(8, 8)], ()),
        ([(64, 64)] * 3, ()),
        ([(65, 65)], (32, 48, 64)),
        ([(20, 30)], (32,)),
        ([(300, 200), (40, 50), (640, 480)], (32, 48, 64)),
        ([(50, 50), (51, 51), (500, 500)], (32, 48)),
        ([(48, 64)], (32, 48)),
        ([(224, 224)], (32, 48, 64)),
    ],
)
def test_sides_that_suit(sizes, sides):
    assert sides_of(sizes) == sides


def test_sizes_are_those_of_the_files_unless_the_user_resizes(folder):
    assert sorted(set(stored_sizes(Folder(dir=folder)))) == [(60, 50), (70, 50)]
    assert stored_sizes(Folder(dir=folder, size=40)) == []
    assert stored_sizes(srat.Config().data) == []


def test_a_folder_is_looked_at(folder):
    found = look_at(srat.compose(data=Folder(dir=folder)), ticking())
    assert (found.counts, found.test, found.validation) == ((12, 4), 5, 0)
    assert (found.sides, found.shape(48), found.side(64), found.side(20)) == ((32, 48), (3, 48, 48), 48, 32)
    # A tick for the sixteen images that are decoded, 21 files in all.
    assert found.reading == pytest.approx(READINGS * 21 / 16)
    assert found.streaming == 0


def test_images_that_stay_in_their_files_are_decoded_in_each_epoch(folder):
    source = Folder(dir=folder, size=24, streaming="always")
    found = look_at(srat.compose(data=source), ticking())
    assert (found.sides, found.side(64), found.shape(None)) == ((), None, (3, 24, 24))
    assert found.streaming == pytest.approx(1 / 16)


def test_the_imbalance_is_made_first():
    found = look_at(srat.compose(data="digits", imbalance="step", ratio=10), ticking())
    assert (max(found.counts), min(found.counts), found.test) == (133, 12, 500)
    assert found.ratio == pytest.approx(133 / 12)
    assert (found.channels, found.height, found.width, found.reading) == (1, 8, 8, 1.0)


def test_a_validation_part_counts(tmp_path):
    pixels = {f"{part}_images": np.zeros((n, 9, 9), "u1") for part, n in (("train", 8), ("val", 4), ("test", 2))}
    labels = {name.replace("images", "labels"): np.arange(len(images)) % 2 for name, images in pixels.items()}
    np.savez(tmp_path / "x.npz", **pixels, **labels)
    found = look_at(srat.compose(data="arrays", data_dir=tmp_path / "x.npz"), ticking())
    assert (found.counts, found.validation, found.test) == ((4, 4), 4, 2)


def test_what_cannot_be_trained_on_is_refused(tmp_path, folder):
    with pytest.raises(UserError, match="expected one folder per class"):
        look_at(srat.compose(data=Folder(dir=tmp_path / "train" / "a")), ticking())
    (folder / "train" / "a" / "0.png").write_text("no image")
    with pytest.raises(UserError, match="not a readable image"):
        look_at(srat.compose(data=Folder(dir=folder)), ticking())


def test_large_images_beyond_the_memory_are_streamed(folder, monkeypatch):
    """Judged at the side that takes most: 16 images of 48 × 48 do not fit where those of 32 × 32 do."""
    monkeypatch.setattr("srat.data.reading.image_files.free_memory", lambda: 4 * 16 * 3 * 40 * 40)
    assert look_at(srat.compose(data=Folder(dir=folder)), ticking()).streaming > 0
    assert look_at(srat.compose(data=Folder(dir=folder, size=32)), ticking()).streaming == 0


def test_the_rarest_class_counts():
    found = Facts(counts=(5, 3, 9), test=1)
    assert (found.images, found.rarest, found.ratio) == (17, 3, 3.0)
    assert torch.tensor(found.counts).sum() == found.images

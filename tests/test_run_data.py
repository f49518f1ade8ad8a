"""A run's data are the images that it recorded, wherever they lie today."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import srat
from srat.core.errors import UserError
from srat.data.record import file_digest


def digests(dataset):
    return {file_digest(path) for path in dataset.images.paths}


@pytest.fixture
def trained(tmp_path):
    """A run on a folder of two classes, of twenty training images each and of four to test on."""
    rng = np.random.default_rng(0)
    for name in (f"{part}/{c}/{c}{i}.png" for part, n in (("train", 20), ("test", 4)) for c in "ab" for i in range(n)):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(tmp_path / "images" / name)
    config = srat.compose(
        method="natural", data="folder", data_dir=tmp_path / "images", model="linear", epochs=1, imbalance="none"
    )
    return srat.fit(config, out=tmp_path / "run", device="cpu")


def test_no_image_that_was_trained_on_is_tested_on(trained, tmp_path):
    learned, tested = (digests(getattr(srat.data_of(trained.folder), part)()) for part in ("train", "test"))
    for image in sorted((tmp_path / "images" / "train").glob("*/?1*.png"))[:12]:
        image.rename(tmp_path / "images" / "test" / image.parent.name / f"{image.stem}-moved.png")
    assert len(digests(trained.config.data.test()) & learned) == 12  # what lies in the folder today
    with pytest.warns(UserWarning, match="moved") as said:
        now = srat.data_of(trained.folder)
    assert digests(now.test()) == tested
    assert digests(now.train()) == learned
    assert [str(each.message) for each in said] == list(now.notes)


def test_images_that_were_moved_are_found_where_they_are(trained, tmp_path):
    wanted = srat.data_of(str(trained.folder)).test().images[:]
    shutil.move(tmp_path / "images", tmp_path / "elsewhere")
    with pytest.raises(UserError, match="expected a folder, got .* does not exist"):
        srat.data_of(trained.folder)
    found = srat.data_of(trained.folder, data_dir=str(tmp_path / "elsewhere")).test()
    assert torch.equal(found.images[:], wanted)


def test_of_published_data_they_are_the_source_s_own(tmp_path):
    config = srat.compose(method="natural", model="linear", epochs=1)
    srat.fit(config, out=tmp_path / "run", device="cpu")
    assert torch.equal(srat.data_of(tmp_path / "run").test().images, config.data.test().images)


def test_what_has_recorded_nothing_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match="is not a run's folder: there is no config.json in it"):
        srat.data_of(tmp_path)
    (trained.folder / "indices.json").unlink()
    with pytest.raises(UserError, match="has recorded no data yet: 'srat train --out .*' continues it"):
        srat.data_of(trained.folder)

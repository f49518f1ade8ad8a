"""Images that stay in their files: the same bytes as from memory, in the same order, after any interruption."""

import os
import shutil
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from srat.config.composition import compose
from srat.core.errors import UserError
from srat.core.keyed_random import generator
from srat.core.signals import Interrupted
from srat.core.tensor_file import open_tensors
from srat.data import Dataset, Feed
from srat.data.augmentation import CropFlip
from srat.data.feed import ahead
from srat.data.mixing import CMO, CutMix
from srat.data.reading.image_files import ImageFiles
from srat.data.sampling import Shuffled
from srat.data.sources.folder import Folder
from srat.evaluation.evaluate import count
from srat.models.backbones.small_cnn import SmallCNN
from srat.training import loop as trainer
from srat.training.fitting import fit
from srat.training.setting_up import sample


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Three classes of 40, 30 and 20 images that differ, in several sizes; nobody changes them."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("drawn")
    for label, (name, n) in enumerate((("a", 40), ("b", 30), ("c", 20))):
        (folder / name).mkdir()
        for i in range(n):
            side = 10 + i % 3
            pixels = rng.integers(0, 120, (side, side, 3)) + np.eye(3, dtype=int)[label] * 130
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i:02d}.png")
    return folder


@pytest.fixture
def photographs(drawn, tmp_path):
    """The same in a folder of the test's own."""
    return shutil.copytree(drawn, tmp_path / "data")


@pytest.fixture(scope="module")
def whole(drawn, tmp_path_factory):
    """A run that never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    fit(config(drawn, "always"), out=folder)
    return folder


def config(photographs, streaming, epochs=2, **fields):
    source = Folder(dir=photographs, size=8, streaming=streaming, **fields)
    base = replace(compose(method="srat-ce", data="folder", epochs=epochs, batch_size=16, guard="none"), data=source)
    steps = {"attack": replace(base.attack, steps=2), "evaluation": replace(base.evaluation, steps=2)}
    return replace(base, model=SmallCNN(width=4), augmentation=CropFlip(padding=1), **steps)


def weights(path):
    return (path / "model.safetensors").read_bytes().split(b"sha256")[1][80:]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_from_files_ends_in_the_bytes_of_one_from_memory(photographs, tmp_path, workers):
    for streaming in ("always", "never"):
        run = fit(config(photographs, streaming, workers=workers), out=tmp_path / streaming)
    names = ("always", "never")
    tensors = [open_tensors(tmp_path / name / "model.safetensors").tensors() for name in names]
    assert all(torch.equal(tensors[0][key], tensors[1][key]) for key in tensors[0])
    assert (tmp_path / "always" / "metrics.csv").read_text() == (tmp_path / "never" / "metrics.csv").read_text()
    test = config(photographs, "always").data.test()
    assert test.to("cpu").streamed
    evaluated = [
        count(run.model, config(photographs, name).data.test().to("cpu"), run.config.evaluation, seed=0, batch_size=7)
        for name in names
    ]
    assert evaluated[0] == evaluated[1]


@pytest.mark.parametrize("stop", [1, 5, 7])
def test_a_resume_is_exact(drawn, whole, tmp_path, stop, monkeypatch):
    real, done = trainer.train_step, []

    def interrupted(*args):
        sums = real(*args)
        done.append(1)
        if len(done) == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return sums

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", interrupted)
        with pytest.raises(Interrupted):
            fit(config(drawn, "always"), out=tmp_path / "stopped")
    fit(config(drawn, "always"), out=tmp_path / "stopped")
    assert weights(whole) == weights(tmp_path / "stopped")


def test_a_damaged_file_is_named_when_its_turn_comes(photographs, tmp_path):
    path = photographs / "a" / "05.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"05\.png: not a readable image, or truncated"):
        fit(config(photographs, "always"), out=tmp_path / "run")


def test_changed_files_are_not_gone_on_with(photographs, tmp_path):
    fit(config(photographs, "always"), out=tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    one, other, *_ = config(photographs, "always").data.train().images.paths
    one.write_bytes(other.read_bytes())
    with pytest.raises(UserError, match="the data has changed since this run began"):
        fit(config(photographs, "always"), out=tmp_path / "run")


def test_what_fits_is_decoded_beforehand(photographs, monkeypatch):
    train = config(photographs, "auto").data.train()
    assert isinstance(train.images, ImageFiles)
    assert not train.to("cpu").streamed
    monkeypatch.setattr("srat.data.reading.image_files.free_memory", lambda: 4 * train.images.nbytes - 1)
    assert train.to("cpu").streamed
    subset = train.subset(torch.tensor([3, 1]))
    assert torch.equal(subset.images[:], train.images[torch.tensor([3, 1])])


@pytest.mark.parametrize("mixing", [CutMix(), CMO(probability=1.0)], ids=lambda mixing: mixing.name)
def test_batches_do_not_depend_on_where_the_images_lie(photographs, mixing):
    lazy = config(photographs, "always").data.train()
    loaded = Dataset(lazy.images[:], lazy.labels, lazy.class_names)
    how = {"augmentation": CropFlip(padding=1), "sampling": Shuffled(), "batch_size": 16, "epochs": 3, "seed": 3}
    how["mixing"] = mixing
    feeds = [Feed(dataset=data, **how) for data in (lazy, loaded)]
    assert [feed.dataset.streamed for feed in feeds] == [True, False]
    for one, other in zip(feeds[0].epoch(2, 1), feeds[1].epoch(2, 1), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.targets.partners, other.targets.partners)
    first = next(feeds[0].epoch(2, 1))
    again = feeds[1].batch(feeds[1].order(2)[1], generator(3, "augment", epoch=2, step=1), feeds[1].pairing(2, 1))
    assert torch.equal(first.images, again.images)


def test_normalisation_does_not_depend_on_where_the_images_lie(photographs, monkeypatch):
    monkeypatch.setattr("srat.training.setting_up._SAMPLE", 25 * 3 * 8 * 8)  # of 72 images
    monkeypatch.setattr("srat.training.setting_up._PART", 7 * 3 * 8 * 8)
    lazy = config(photographs, "always").data.train()
    loaded = Dataset(lazy.images[:], lazy.labels, lazy.class_names)
    parts = [list(sample(data)) for data in (lazy, loaded)]
    assert [len(part) for part in parts[0]] == [7, 7, 7, 4]
    assert torch.equal(torch.cat(parts[0]), torch.cat(parts[1]))
    assert torch.equal(parts[0][0][0], lazy.images[:1][0])
    assert torch.equal(parts[0][-1][-1], lazy.images[len(lazy) - 1 :][0])


def test_each_of_several_processes_takes_its_part_of_the_memory(photographs, monkeypatch):
    images = config(photographs, "auto").data.train().images
    monkeypatch.setattr("srat.data.reading.image_files.free_memory", lambda: 5 * images.nbytes)
    assert isinstance(images.loaded(), torch.Tensor)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert images.loaded() is images
    monkeypatch.setattr("srat.data.sources.folder.cores", lambda: 6)
    assert config(photographs, "auto").data.train().images.workers == 3


class TestAhead:
    def test_keeps_the_order(self):
        assert list(ahead(lambda i=i: time.sleep(0.001 * (i % 3)) or i for i in range(30))) == list(range(30))

    def test_works_while_the_result_is_used(self):
        done = []
        tasks = iter([lambda i=i: done.append(i) or i for i in range(10)])
        batches = ahead(tasks)
        next(batches)
        deadline = time.monotonic() + 5
        while len(done) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert done == [0, 1, 2, 3]  # the one that was asked for, and three ahead

    def test_an_error_comes_at_its_turn(self):
        def fail():
            raise UserError("damaged")

        batches = ahead([lambda: 1, fail, lambda: 3])
        assert next(batches) == 1
        with pytest.raises(UserError, match="damaged"):
            next(batches)

    def test_leaves_no_thread_behind(self):
        before = threading.active_count()
        batches = ahead(lambda i=i: i for i in range(100))
        next(batches)
        batches.close()
        deadline = time.monotonic() + 5
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() == before

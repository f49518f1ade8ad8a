"""Images that are there twice, found by what they show."""

import numpy as np
import pytest
import torch

from srat.data import Dataset
from srat.data.pixels import pixel_digests
from srat.data.record import Record
from srat.data.twins import Seen, by_kind, shared_notes, twin_notes, twins_among

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (12, 3, 4, 5), np.uint8))


def dataset(*ids, labels=None):
    return Dataset(IMAGES[list(ids)], torch.tensor([i % 2 for i in ids] if labels is None else labels), ("ant", "bee"))


def test_nothing_is_said_where_each_is_there_once():
    assert list(twin_notes({"train": dataset(0, 1, 2), "validation": None, "test": dataset(3, 4)})) == []


def test_each_kind_is_a_line():
    train, test = dataset(0, 1, 2, 2, 5, labels=[0, 1, 0, 0, 1]), dataset(1, 6, 5, 7, labels=[1, 0, 0, 1])
    assert list(twin_notes({"train": train, "test": test})) == [
        "1 image appears in several classes (one label must be wrong): train 4 = test 2",
        "1 image appears in both training and test (which makes accuracies too good): train 1 = test 0",
        "1 image appears more than once: train 2 = train 3",
    ]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("train", "validation"), "in both training and validation"),
        (("validation", "test"), "in both validation and test"),
        (("test", "train"), "in both training and test"),
        (("train", "validation", "test"), "in several of training, validation and test"),
    ],
)
def test_the_parts_are_those_that_share_it(parts, said):
    datasets = {part: dataset(0, number + 1) for number, part in enumerate(parts)}
    [note] = twin_notes(datasets)
    assert note.startswith(f"1 image appears {said} (which")


def test_bytes_and_the_same_in_floating_point_are_one():
    others = Dataset(IMAGES[:2] / 255, torch.tensor([0, 1]), ("ant", "bee"))
    [note] = twin_notes({"train": dataset(0, 1, 2), "test": others})
    assert note.startswith("2 images appear in both training and test")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_every_level_is_the_same_in_floating_point(dtype):
    levels = torch.arange(256, dtype=torch.uint8)[:, None, None, None]
    assert list(pixel_digests(levels)) == list(pixel_digests((levels / 255).to(dtype)))


def test_images_that_a_run_has_twice_in_one_part_are_not_said_to_be_in_several():
    record = Record(
        parts={"train": {"a.png": "0", "b.png": "0"}, "test": {"c.png": "1"}},
        class_names=("ant", "bee"),
        labels={"train": (0, 0), "test": (1,)},
    )
    assert list(shared_notes(record)) == []


def test_what_is_not_known_is_no_twin():
    images = [Seen(name=name, label="ant", part="train", pixels="") for name in "ab"]
    assert twins_among(images) == []
    assert list(by_kind([])) == []


def test_many_are_named_in_part():
    [note] = twin_notes({"train": dataset(*[0] * 5, *[2] * 2, *[4] * 2, *[6] * 2)})
    assert note == (
        "4 images appear more than once: train 0 = train 1 = train 2 = …, train 5 = train 6, train 7 = train 8, …"
    )


def test_data_says_so_of_arrays(cli, tmp_path):
    images = IMAGES.permute(0, 2, 3, 1).numpy()
    labels = np.arange(12) % 2
    parts = {
        "train_images": images[:8],
        "train_labels": labels[:8],
        "test_images": images[7:],
        "test_labels": labels[7:],
    }
    np.savez(tmp_path / "own.npz", **parts)
    code, out, _ = cli("data", "arrays", "--data-dir", tmp_path / "own.npz")
    assert code == 0
    assert "1 image appears in both training and test (which makes accuracies too good): train 7 = test 0\n" in out

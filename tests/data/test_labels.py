"""Labels are understood or refused by one rule, whichever door they come in by."""

import numpy as np
import pytest
import torch
from torch import nn

import srat
from srat.core.errors import UserError
from srat.data import Dataset
from srat.data.labels import as_labels
from srat.data.sources.arrays import Arrays

IMAGES = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
PLAIN = np.array([0, 1, 0, 1, 1, 0])
NET = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))


def of_a_dataset(labels, tmp_path):
    return Dataset(IMAGES, labels, ("a", "b")).labels


def of_an_evaluation(labels, tmp_path):
    return srat.evaluate(NET, IMAGES, labels).counts.total


def of_a_file(labels, tmp_path):
    arrays = {f"{part}_{kind}": x for part in ("train", "test") for kind, x in (("images", IMAGES), ("labels", labels))}
    np.savez(tmp_path / "x.npz", **arrays)
    return Arrays(dir=tmp_path / "x.npz").train().labels


DOORS = [of_a_dataset, of_an_evaluation, of_a_file]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "given",
    [
        PLAIN,
        PLAIN[:, None],
        PLAIN[:, None, None],
        PLAIN.astype(np.float32),
        PLAIN[:, None].astype(np.float16),
        PLAIN.astype(np.uint64),
        PLAIN.astype(np.uint8),
        PLAIN.astype(">i2"),
        PLAIN == 1,
    ],
    ids=lambda given: f"{given.dtype}{given.shape}",
)
def test_are_understood_at_every_door(door, given, tmp_path):
    wanted = [3, 3] if door is of_an_evaluation else PLAIN.tolist()
    assert list(door(given, tmp_path)) == wanted


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (PLAIN + 0.5, r"labels: expected n integers, got float64 of shape \(6,\) that are not all whole numbers"),
        (np.full(6, np.nan), "not all whole numbers"),
        (np.full(6, 2.0**60), "or too large"),
        (np.full(6, 2**63, np.uint64), "or too large"),
        (PLAIN * 1j, "expected n integers, got complex128"),
        (np.eye(2)[PLAIN], r": one-hot labels; labels.argmax\(axis=1\) makes them into such"),
        (np.eye(2, dtype=bool)[PLAIN], "one-hot labels"),
        (np.ones((6, 2)), ": several labels for an image"),
        (np.array(3), r"expected n integers, got int64 of shape \(\)"),
        (PLAIN[:4], "labels: expected one for each of 6 images, got 4"),
        (PLAIN[None], r"expected n integers, got int64 of shape \(1, 6\)"),
    ],
)
def test_are_refused_at_every_door(door, given, said, tmp_path):
    with pytest.raises(UserError, match=said) as error:
        door(given, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8])
def test_integers_keep_their_type(dtype):
    given = torch.tensor([0, 1, 2], dtype=dtype)
    assert as_labels(given[:, None], images=3).dtype == dtype
    assert as_labels(given, images=3).data_ptr() == given.data_ptr()

"""The arguments of public functions: what is unmistakable is understood, the rest is refused in a line."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import srat
from srat.core.errors import UserError
from srat.data import Holdout, exponential_counts, select, step_counts
from srat.data.reading.downloads import search_folders
from srat.feature_losses import has_positive, separation
from srat.losses import cross_entropy, focal, ldam, ldam_margins
from srat.methods.objective import reduce_weighted
from srat.runtime.machine import as_device
from srat.weightings import Fixed, effective_number, inverse_frequency, uniform

LOGITS, LABELS = torch.zeros(4, 3), torch.tensor([0, 1, 2, 2])
NET = nn.Sequential(nn.Flatten(), nn.Linear(25, 3))
IMAGES = torch.rand(4, 1, 5, 5, generator=torch.Generator().manual_seed(0))


def refused(said, function, *args, **kwargs):
    with pytest.raises(UserError) as error:
        function(*args, **kwargs)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


class TestEvaluate:
    @pytest.mark.parametrize("images", [IMAGES, IMAGES.numpy(), list(IMAGES), list(IMAGES.numpy()), IMAGES.tolist()])
    @pytest.mark.parametrize(
        "labels", [LABELS, LABELS.numpy(), LABELS.tolist(), LABELS[:, None], LABELS.byte().numpy()]
    )
    def test_takes_arrays_and_lists(self, images, labels):
        assert srat.evaluate(NET, images, labels) == srat.evaluate(NET, IMAGES, LABELS)

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"images": IMAGES.numpy().transpose(0, 2, 3, 1)}, "got shape (4, 5, 5, 1), with the channels last"),
            ({"images": IMAGES[:, 0]}, "got shape (4, 5, 5); one channel is added by images[:, None]"),
            ({"images": IMAGES[:0], "labels": LABELS[:0]}, "images: expected at least one"),
            ({"images": "x"}, "images: expected a tensor or an array or a list, got 'x'"),
            ({"images": None}, "images: expected a tensor or an array or a list, got None"),
            (
                {"images": [[[1, 2], [3]]]},
                "images: expected a tensor, an array or lists of numbers, got ",
            ),
            ({"labels": ["a"] * 4}, "labels: expected a tensor, an array or lists of numbers"),
            ({"images": IMAGES - 0.5}, "they look normalised already"),
            ({"images": (IMAGES * 255).int()}, "images: expected uint8 or floating point, got int32"),
            (
                {"labels": torch.eye(3)[[0, 1, 2, 0]]},
                "of shape (4, 3): one-hot labels; labels.argmax(axis=1) makes them",
            ),
            ({"labels": LABELS + 0.5}, "labels: expected n integers, got float32 of shape (4,) that are not all whole"),
            ({"labels": LABELS[:2]}, "labels: expected one for each of 4 images, got 2"),
            ({"labels": LABELS + 1}, "labels: expected integers from 0 to 2, got 1 to 3"),
            ({"model": lambda x: x}, "model: expected a Module, got a function"),
            ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
            ({"batch_size": 2.5}, "batch_size: expected a whole number, got 2.5"),
            ({"seed": "1"}, "seed: expected a whole number, got '1'"),
            ({"seed": None}, "seed: expected a whole number, got None"),
            ({"attack": "autoattak"}, "unknown attack 'autoattak', did you mean 'autoattack'?"),
            ({"attack": srat.attacks.PGD}, "got the class PGD itself"),
        ],
    )
    def test_refuses(self, changed, said):
        given = {"model": NET, "images": IMAGES, "labels": LABELS} | changed
        refused(said, srat.evaluate, **given)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"config": "x"}, "config: expected a Config, got 'x'"),
        ({"config": srat.Config}, "config: expected a Config, got the class Config itself"),
        ({"device": "gpu"}, "`device`: expected auto, cpu, cuda or cuda:N, got 'gpu'"),
        ({"device": torch.device("meta")}, "`device`: expected auto, cpu, cuda or cuda:N, got 'meta'"),
        ({"device": torch.device("cuda:99")}, "`device` cuda:99: there is no such CUDA device here"),
        ({"device": 0}, "device: expected text or a device, got 0"),
        ({"out": 3}, "out: expected a path or None, got 3"),
        ({"model": nn.Linear}, "model: expected a Module or None, got the class Linear itself"),
        ({"observer": print}, "observer: expected an Observer or None, got a function"),
        (
            {"checkpoint_every": 0},
            "`checkpoint_every`: expected auto, a number of steps (200) or minutes (10m), got '0'",
        ),
        ({"checkpoint_every": True}, "checkpoint_every: expected text or a whole number, got True"),
        ({"checkpoint_every": "x"}, "`checkpoint_every`: expected auto"),
        ({"on_divergence": "rolback"}, "on_divergence: expected stop or rollback, got 'rolback'"),
        ({"compiled": True}, "compiled: expected one of auto, off, default, reduce-overhead, max-autotune, got True"),
    ],
)
def test_fit_refuses(changed, said):
    refused(said, srat.fit, **({"config": srat.Config()} | changed))


def test_fit_and_load_know_home_and_torchs_devices(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = srat.compose(method="ce", epochs=1, imbalance=srat.data.imbalance.Step(ratio=1, cap=8))
    run = srat.fit(config, out="~/run", device=torch.device("cpu"), checkpoint_every=5)
    assert run.folder == tmp_path / "run"
    assert (run.folder / "config.json").exists()
    for path, device in (("~/run", "cpu"), ("~/run/model.safetensors", torch.device("cpu"))):
        assert not srat.load(path, device=device, which="LAST").training
    assert srat.Config.read("~/run/config.json").id == config.id


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"which": "first"}, "which: expected one of last, best, raw, got 'first'"),
        ({"device": "gpu"}, "`device`: expected auto, cpu, cuda or cuda:N, got 'gpu'"),
        ({"device": "cpu:1"}, "got 'cpu:1'"),
        ({"device": "cuda:x"}, "got 'cuda:x'"),
        ({"device": "cuda:99"}, "there is no such CUDA device here"),
        ({"device": None}, "device: expected text or a device, got None"),
        ({"model": 3}, "model: expected a Module or None, got 3"),
        ({"path": 3}, "path: expected a path, got 3"),
        ({"path": ""}, "path: expected a path, got ''"),
        ({"path": "~/not-there"}, "is not a run's folder"),
    ],
)
def test_load_refuses(given, said, tmp_path):
    refused(said, srat.load, **({"path": tmp_path} | given))


def test_devices():
    assert (
        as_device("cpu") == as_device(torch.device("cpu")) == as_device(torch.device("cpu", 0)) == torch.device("cpu")
    )
    assert as_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("loss", [cross_entropy, focal, lambda z, y: ldam(z, y, [5, 4, 3])])
class TestLosses:
    def test_of_labels_that_do_not_go_with_the_logits(self, loss):
        for labels, said in (
            (LABELS + 1, "labels: expected integers from 0 to 2, got 1 to 3"),
            (LABELS - 1, "labels: expected integers from 0 to 2, got -1 to 1"),
            (LABELS[:2], "labels: expected the same length on the axis batch, got 2 where logits has 4"),
            (LABELS[:, None], "labels: expected a tensor of integers, (batch,)"),
            (LABELS.float(), "labels: expected a tensor of integers, (batch,)"),
        ):
            refused(said, loss, LOGITS, labels)

    def test_of_labels_of_any_integers(self, loss):
        for labels in (LABELS.int(), LABELS.byte(), LABELS.numpy(), LABELS.tolist()):
            assert torch.equal(loss(LOGITS, labels), loss(LOGITS, LABELS))


COUNTS = [lambda n: ldam(LOGITS, LABELS, n), ldam_margins, effective_number, inverse_frequency, uniform]
COUNTS += [Fixed(values=(1, 2, 3)).weights]


@pytest.mark.parametrize("function", COUNTS)
class TestCounts:
    def test_are_lists_arrays_or_tensors(self, function):
        for counts in ((5, 4, 3), np.array([5, 4, 3]), torch.tensor([5, 4, 3]), torch.tensor([5.0, 4, 3]), [5.0, 4, 3]):
            assert torch.equal(function(counts), function([5, 4, 3]))

    @pytest.mark.parametrize("wrap", [list, np.array, torch.tensor])
    def test_name_the_class_that_has_none(self, function, wrap):
        said = "class counts: expected whole numbers, at least 1 in each class, got "
        for counts, got in (
            ([5, 0, 3], "0 in class 1"),
            ([5, 4, -3], "-3 in class 2"),
            ([math.nan, 4, 3], "nan in class 0"),
            ([5, math.inf, 3], "inf in class 1"),
            ([5, 4, 2.5], "2.5 in class 2"),
        ):
            refused(said + got, function, wrap(counts))

    def test_are_one_for_each_class(self, function):
        refused("class counts: expected one for each", function, torch.ones(3, 3, dtype=torch.long))
        for counts in (None, 5, "543", {0: 5}):
            refused("class_counts: expected a tensor or a list of whole numbers, got", function, counts)


def test_counts_of_another_number_of_classes():
    refused("class counts: expected one for each of 3 classes, got 2", ldam, LOGITS, LABELS, [5, 4])


@pytest.mark.parametrize(
    ("said", "call"),
    [
        ("`gamma`: expected 0 to 100, got -1", lambda: focal(LOGITS, LABELS, gamma=-1)),
        ("gamma: expected a finite number, got nan", lambda: focal(LOGITS, LABELS, gamma=math.nan)),
        ("`max_margin`: expected 0 to 2, got 3", lambda: ldam(LOGITS, LABELS, [5, 4, 3], max_margin=3)),
        ("`scale`: expected a positive number, got 0", lambda: ldam(LOGITS, LABELS, [5, 4, 3], scale=0)),
        ("`beta`: expected 0 ≤ β < 1, got 1", lambda: effective_number([5, 4], beta=1)),
        ("beta: expected a number, got '?'", lambda: effective_number([5, 4], beta="?")),
        ("`power`: expected 0 to 10, got -1", lambda: inverse_frequency([5, 4], power=-1)),
        ("`temperature`: expected a positive number, got 0", lambda: separation(LOGITS, LABELS, temperature=0)),
        ("`temperature`: expected a positive number, got -1", lambda: separation(LOGITS, LABELS, -1)),
        ("temperature: expected a finite number, got nan", lambda: separation(LOGITS, LABELS, math.nan)),
        ("normalize: expected True or False, got 1", lambda: separation(LOGITS, LABELS, normalize=1)),
        (
            "labels: expected the same length on the axis batch, got 2 where features has 4",
            lambda: separation(LOGITS, LABELS[:2]),
        ),
        ("labels: expected a tensor of integers, (batch,)", lambda: has_positive(LOGITS)),
        ("reduction: expected weighted_mean or mean, got 'sum'", lambda: reduce_weighted(LOGITS[0], LOGITS[0], "sum")),
        ("class counts: expected at least two classes, got 1", lambda: step_counts([5], ratio=2)),
        ("class counts: expected at least two classes, got 1", lambda: exponential_counts([5], ratio=2)),
        ("class_counts: expected a list of whole numbers, got [5.5, 4]", lambda: exponential_counts([5.5, 4], ratio=2)),
        ("leaves class 0 without a training image: it has only -5", lambda: step_counts([-5, 4], ratio=2)),
        ("ratio: expected a number, got 'x'", lambda: step_counts([5, 4], ratio="x")),
        ("class 1: expected a count of 0 or more, got -1", lambda: select([0, 1], [1, -1], seed=0)),
        ("counts: expected one for each of 2 classes, got 1", lambda: select([0, 1], [1], seed=0)),
        ("seed: expected a whole number, got 0.5", lambda: select([0, 1], [1, 1], seed=0.5)),
        ("labels: expected integers from 0", lambda: Holdout().split([-1, 0], seed=0)),
        ("mode: expected eval or train_frozen_stats, got 'train'", lambda: srat.models.lent(NET, "train")),
        ("norm: expected linf or l2, got 'l1'", lambda: srat.attacks.within(IMAGES, IMAGES, norm="l1", epsilon=1)),
    ],
)
def test_settings_of_functions(said, call):
    refused(said, call)


def test_counts_to_keep_of_arrays():
    for counts in ([50, 40], np.array([50, 40]), torch.tensor([50, 40])):
        assert step_counts(counts, ratio="10") == exponential_counts(counts, ratio=10) == (50, 4)
    train, held = Holdout().split([0, 0, 1, 1], seed=0)
    assert sorted((*train.tolist(), *held.tolist())) == [0, 1, 2, 3]
    assert [len(part) for part in Holdout().split(torch.arange(0), seed=0)] == [0, 0]


def test_the_data_folder_of_the_environment_knows_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SRAT_DATA_DIR", "~/data")
    assert search_folders(None)[0] == tmp_path / "data"

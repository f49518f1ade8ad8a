"""MedMNIST on files of its layout that the tests write."""

import hashlib
import itertools
import json

import numpy as np
import pooch
import pytest
import torch

import srat
from refusals import refusing
from srat.cli import main
from srat.config.command_line import command_of
from srat.config.config import Config
from srat.core.errors import UserError
from srat.data import prepare
from srat.data.reading.medmnist import SETS, SIZES
from srat.data.sources import medmnist
from srat.data.sources.medmnist import MedMNIST

NAMES = ", ".join(SETS)


@pytest.fixture(autouse=True)
def _nothing_there(no_network, monkeypatch, tmp_path):
    """Neither the cache, the home nor the environment has a file."""
    monkeypatch.setattr(medmnist.Path, "home", lambda: tmp_path / "home")
    monkeypatch.delenv("SRAT_DATA_DIR", raising=False)


def arrays_of(name, side, channels):
    """Return arrays as a file of a set has them: n × 1 labels, grey images without an axis of channels."""
    rng, classes = np.random.default_rng(side), len(SETS[name].class_names)
    arrays = {}
    for part, each in (("train", 4), ("val", 2), ("test", 3)):
        shape = (each * classes, side, side, *((3,) if channels == 3 else ()))
        arrays[f"{part}_images"] = rng.integers(0, 256, shape, np.uint8)
        arrays[f"{part}_labels"] = (np.arange(each * classes, dtype=np.uint8) % classes)[:, None]
    return arrays


@pytest.fixture
def put(tmp_path):
    """Write a file of a set into a folder."""

    def put(name, size=28, channels=3, below="", **change):
        arrays = arrays_of(name, size, channels) | change
        path = tmp_path / below / (f"{name}.npz" if size == 28 else f"{name}_{size}.npz")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
        return arrays

    return put


@pytest.mark.parametrize(
    ("name", "size", "channels"),
    [
        ("dermamnist", 28, 3),
        ("breastmnist", 28, 1),
        ("retinamnist", 64, 3),
        ("organsmnist", 128, 1),
        ("octmnist", 224, 1),
    ],
)
def test_reads_all_three_parts(put, tmp_path, name, size, channels):
    arrays = put(name, size, channels)
    source = MedMNIST(dataset=name, size=size, dir=tmp_path, verify=False)
    parts = source.parts()
    classes = len(SETS[name].class_names)
    for part, dataset in (("train", parts.train()), ("val", parts.validation()), ("test", parts.test())):
        images = arrays[f"{part}_images"].reshape(-1, size, size, channels)
        assert torch.equal(dataset.images, torch.from_numpy(images).permute(0, 3, 1, 2))
        assert dataset.labels.tolist() == arrays[f"{part}_labels"][:, 0].tolist()
        assert dataset.class_names == SETS[name].class_names
        assert len(dataset.counts) == classes
    assert parts.record() is None


def test_holds_its_own_validation_part_out(put, tmp_path):
    put("dermamnist")
    config = srat.compose(data="medmnist", data_dir=tmp_path)
    source = MedMNIST(dataset="dermamnist", dir=tmp_path, verify=False)
    data = prepare(source, config.imbalance, config.holdout, seed=0)
    assert torch.equal(data.held_out.images, source.parts().validation().images)
    assert torch.equal(data.train.images, source.train().images)


@pytest.mark.parametrize("below", ["", "medmnist"])
def test_is_found(put, tmp_path, monkeypatch, below):
    for place in ("given", "environment", "cache/srat"):
        put("breastmnist", 28, 1, f"{place}/{below}")
    source = MedMNIST(dataset="breastmnist", verify=False)
    assert (
        MedMNIST(dataset="breastmnist", dir=tmp_path / "given").find() == tmp_path / "given" / below / "breastmnist.npz"
    )
    assert source.find() == tmp_path / "cache/srat" / below / "breastmnist.npz"
    monkeypatch.setenv("SRAT_DATA_DIR", str(tmp_path / "environment"))
    assert source.find() == tmp_path / "environment" / below / "breastmnist.npz"


def test_is_found_where_its_authors_package_puts_it(put, tmp_path):
    put("breastmnist", 64, 1, "home/.medmnist")
    assert MedMNIST(dataset="breastmnist", size=64, verify=False).train().images.shape[2:] == (64, 64)
    assert MedMNIST(dataset="breastmnist").find() is None
    with pytest.raises(UserError, match="breastmnist_64.npz is not in"):
        MedMNIST(dataset="breastmnist", size=64, dir=tmp_path).train()


def test_without_a_name_any_of_its_files_is_found(put, tmp_path):
    assert MedMNIST(dir=tmp_path).find() is None
    put("retinamnist", 224, 3)
    assert MedMNIST(dir=tmp_path).find() == tmp_path / "retinamnist_224.npz"


def test_takes_another_size_for_another_file(put, tmp_path):
    put("breastmnist", 28, 1)
    with pytest.raises(UserError, match="put breastmnist_64.npz there, or name its folder"):
        MedMNIST(dataset="breastmnist", size=64, dir=tmp_path, verify=False).train()
    (tmp_path / "breastmnist.npz").rename(tmp_path / "breastmnist_64.npz")
    with pytest.raises(UserError, match=r"expected images of \(64, 64\), got \(28, 28\)"):
        MedMNIST(dataset="breastmnist", size=64, dir=tmp_path, verify=False).train()


def test_checks_the_published_sum(put, tmp_path, monkeypatch):
    put("breastmnist", 28, 1)
    source = MedMNIST(dataset="breastmnist", dir=tmp_path)
    with pytest.raises(UserError, match=r"wrong checksum, expected MD5 750601b1f3.*`data.verify` false reads it all"):
        source.train()
    md5 = hashlib.md5((tmp_path / "breastmnist.npz").read_bytes()).hexdigest()
    monkeypatch.setitem(SETS["breastmnist"].md5, 28, md5)
    assert len(source.train()) == 8


def test_fetches_the_published_file(put, tmp_path, monkeypatch):
    put("breastmnist", 64, 1, "published")
    asked = []

    def retrieve(url, known_hash, fname, path, progressbar):
        asked.append((url, known_hash, fname, path))
        return str(tmp_path / "published" / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    MedMNIST(dataset="breastmnist", size=64, verify=False).train()
    url = "https://zenodo.org/records/10519652/files/breastmnist_64.npz?download=1"
    md5 = "md5:742edef2a1fd1524b2efff4bd7ba9364"
    assert asked == [(url, md5, "breastmnist_64.npz", tmp_path / "cache/srat")]


def test_every_set_is_published_in_four_sizes_each_with_its_own_sum():
    sums = [published.md5[size] for published in SETS.values() for size in SIZES]
    assert len(set(sums)) == 44
    assert all(len(md5) == 32 and int(md5, 16) for md5 in sums)
    assert sum(len(published.class_names) for published in SETS.values()) == 8 + 2 + 7 + 4 + 3 * 11 + 9 + 2 + 5 + 8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"val_labels": None}, "there is no val_labels; there are: test_images"),
        ({"val_images": None, "val_labels": None}, "there is no val_images, val_labels"),
        ({"val_labels": np.full((4, 1), 2, np.uint8)}, r"breastmnist.npz, validation: .* from 0 to 1, got 2 to 2"),
        ({"val_labels": np.zeros((4, 14), np.uint8)}, "val_labels: expected n integers"),
        ({"val_labels": np.zeros((3, 1), np.uint8)}, "expected one for each of 4 images"),
        ({"val_images": np.zeros((4, 28, 28, 28), np.uint8)}, "1 or 3 channels"),
        ({"val_images": np.array([len] * 4)}, "val_images holds Python objects, expected plain"),
    ],
)
def test_refuses_another_content(put, tmp_path, change, said):
    put("breastmnist", 28, 1, **change)
    parts = MedMNIST(dataset="breastmnist", dir=tmp_path, verify=False).parts()
    assert len(parts.train()) == 8
    with pytest.raises(UserError, match=said) as raised:
        parts.validation()
    assert "breastmnist.npz" in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "not a readable .npz"), (b"PK\x03\x04", "not a readable .npz"), (None, "got a folder")]
)
@pytest.mark.parametrize("verify", [True, False])
def test_refuses_what_is_no_such_file(tmp_path, content, said, verify):
    path = tmp_path / "breastmnist.npz"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match="wrong checksum" if verify and content is not None else said):
        MedMNIST(dataset="breastmnist", dir=tmp_path, verify=verify).train()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], f"--data.name: expected the name of one of its sets, got none; there are: {NAMES}"),
        (["--data.name", "dermamist"], "--data.name: unknown set 'dermamist', did you mean 'dermamnist'?; there are: "),
        (["--data.name", "DermaMNIST"], "did you mean 'dermamnist'?"),
        (["--data.name", "cifar"], f"--data.name: unknown set 'cifar'; there are: {NAMES}"),
        (["--data.name", "organmnist3d"], "--data.name organmnist3d: it holds volumes, not images; there are: "),
        (["--data.name", "chestmnist"], "--data.name chestmnist: its images may have several classes each"),
        (["--data.name", "dermamnist", "--data.size", "32"], "'32'; there are: 28, 64, 128, 224"),
        (["--data.name", "dermamnist"], "dermamnist.npz is not in"),
        (["--data.name", "dermamnist", "--data-dir", "/nowhere"], "--data-dir: expected a folder, got '/nowhere'"),
    ],
)
@pytest.mark.parametrize("command", [["train", "--data", "medmnist"], ["data", "medmnist"]])
def test_says_in_one_line_what_is_wrong(capsys, command, words, said):
    assert main([*command, *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 32}, "expected one of 28, 64, 128, 224, got 32"),
        ({"dataset": "chestmnist"}, "data.dataset chestmnist"),
        ({"dataset": "dermamnis"}, "unknown set 'dermamnis', did you mean 'dermamnist'"),
    ],
)
def test_says_what_is_wrong_in_a_configuration(change, said):
    plain = srat.compose(data="medmnist").to_plain()
    with pytest.raises(UserError, match=said):
        Config.from_plain({**plain, "data": {**plain["data"], **change}})


def test_is_called_by_the_sets_own_name():
    assert (MedMNIST(dataset="dermamnist").title, MedMNIST().title) == ("dermamnist", "medmnist")


def test_takes_no_fraction_for_a_size():
    source = MedMNIST()
    object.__setattr__(source, "size", 28.0)
    with refusing("data.size", 28.0):
        source.__post_init__()


def test_is_another_run_of_another_set_or_size():
    plain = srat.compose(data="medmnist").to_plain()
    every = itertools.product(SETS, SIZES)
    ids = {
        Config.from_plain({**plain, "data": {**plain["data"], "dataset": name, "size": size}}).id
        for name, size in every
    }
    assert len(ids) == 44


def test_goes_through_every_command(put, tmp_path, capsys):
    put("breastmnist", 28, 1)
    run, data = tmp_path / "run", ["--data.name", "breastmnist", "--data-dir", str(tmp_path), "--data.no-verify"]
    words = ["--model", "linear", "--epochs", "1", "--evaluation.steps", "1", "--device", "cpu", "--out", str(run)]
    assert main(["data", "medmnist", *data]) == 0
    assert "4 validation images, 2 per class" in capsys.readouterr().out
    assert main(["train", "--data", "medmnist", *data, *words]) == 0
    assert "the validation part of the data is held out" in capsys.readouterr().out
    assert not (run / "split.json").exists()
    assert json.loads((run / "evaluation.json").read_text())["class_names"] == ["malignant", "normal, benign"]
    assert main(["evaluate", str(run), "--attack", "fgsm", "--device", "cpu"]) == 0
    assert main(["audit", str(run), "--check", "disjoint", "--check", "balance", "--device", "cpu"]) == 0
    command = command_of(Config.read(run / "config.json"))
    assert all(part in command for part in ("--data medmnist", f"--data-dir {tmp_path}", "--data.name breastmnist"))


def test_help_lists_its_names_and_sizes(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--data", "medmnist", "--help"])
    said = capsys.readouterr().out
    assert "--data.name NAME" in said
    assert "--data.size {28,64,128,224}" in said
    assert set(SETS) <= set(said.replace(",", " ").replace(".", " ").split())


def test_doctor_says_where_it_lies(put, tmp_path, monkeypatch, capsys):
    put("breastmnist", 28, 1, "data/medmnist")
    monkeypatch.setenv("SRAT_DATA_DIR", str(tmp_path / "data"))
    assert main(["doctor"]) == 0
    assert any(
        line.split()[:1] == ["medmnist"] and "medmnist" in line.split()[1]
        for line in capsys.readouterr().out.splitlines()
    )

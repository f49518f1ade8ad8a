"""Files of indices: written, read back, and refused with another data set."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from refusals import refusing
from srat.config.composition import compose
from srat.core.errors import UserError
from srat.data import Holdout, prepare, read_split, select, write_split
from srat.data.imbalance import hash_indices
from srat.data.sources.digits import Digits
from srat.data.split_file import SplitFile
from srat.training.fitting import fit

ENDINGS = (".npy", ".npz", ".txt", ".json")
LABELS = torch.arange(60) % 3
KEPT = select(LABELS, (20, 8, 2), seed=0)


def kept(path, labels=LABELS, **settings):
    return SplitFile(path=path, **settings).kept(labels, labels.bincount().tolist(), seed=0)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_is_read(ending, tmp_path):
    path = tmp_path / f"split{ending}"
    write_split(path, KEPT, LABELS)
    assert torch.equal(read_split(path).indices, KEPT)
    assert torch.equal(kept(path), KEPT)
    assert torch.equal(kept(path, sha256=hash_indices(KEPT)), KEPT)
    with pytest.raises(UserError, match="expected indices of SHA-256 00, got"):
        kept(path, sha256="00")


@pytest.mark.parametrize(
    ("name", "indices", "said"),
    [
        ("a.pkl", [0, 1], "ends in .npy"),
        ("no/a.npy", [0, 1], "there is no folder"),
        ("a.npz", [0, 60], "from 0 to 59"),
        ("a.txt", [-1, 0], "from 0 to 59"),
        ("a.json", [1, 1], "got 1 twice"),
        ("a.json", [], "no indices"),
    ],
)
def test_what_would_not_be_read_is_not_written(name, indices, said, tmp_path):
    with pytest.raises(UserError, match=said):
        write_split(tmp_path / name, torch.tensor(indices, dtype=torch.long), LABELS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "# drawn with seed 3\n5 3\n\n1 # and these:\n2\t0\n"),
        ("a.json", "[5, 3, 1, 2, 0]"),
        ("a.json", '{"indices": [5, 3, 1, 2, 0], "labels": [2, 0, 1, 2, 0], "images": 60}'),
        ("a.json", '{"train": [5, 3, 1], "held_out": [2, 0], "sha256": "…"}'),
    ],
)
def test_files_that_others_write(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    assert read_split(tmp_path / name).indices.tolist() == [5, 3, 1, 2, 0]
    assert kept(tmp_path / name).tolist() == [0, 1, 2, 3, 5]


@pytest.mark.parametrize("kind", ["i4", "u2", ">i8"])
@pytest.mark.parametrize("arrays", [("indices", "other"), ("train_indices", "other"), ("idx",), ("whatever",)])
def test_arrays_that_others_write(kind, arrays, tmp_path):
    values = np.array([5, 3, 1, 2, 0], kind)
    np.savez(tmp_path / "a.npz", **{arrays[0]: values}, **{name: np.zeros(3) for name in arrays[1:]})
    assert kept(tmp_path / "a.npz").tolist() == [0, 1, 2, 3, 5]
    np.save(tmp_path / "a.npy", values[:, None])
    assert kept(tmp_path / "a.npy").tolist() == [0, 1, 2, 3, 5]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (torch.arange(61) % 3, "a split of 60 training images, the data set has 61"),
        ((torch.arange(60) + 1) % 3, "a split of another data set, which differs in 30 of 30 labels, the first of"),
    ],
)
def test_a_split_of_another_data_set_is_refused_by_size_and_labels(labels, said, tmp_path):
    write_split(tmp_path / "a.npz", KEPT, LABELS)
    with pytest.raises(UserError, match=said) as caught:
        kept(tmp_path / "a.npz", labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ENDINGS)
def test_indices_beyond_the_data_set_are_refused(ending, tmp_path):
    write_split(tmp_path / f"a{ending}", KEPT, LABELS)
    with pytest.raises(UserError, match=r"from 0 to 39|a split of 60"):
        kept(tmp_path / f"a{ending}", LABELS[:40])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "1 2 2", "expected each index once, got 2 twice"),
        ("a.txt", "1 2 x", "expected whole numbers between white space, got 'x'"),
        ("a.txt", "1 -2", "got '-2'"),
        ("a.txt", "1.5", "got '1.5'"),
        ("a.txt", "# nothing", "there are no indices in it"),
        ("a.json", "[-1, 2]", "expected indices from 0 to 59"),
        ("a.json", "[1, 2.5]", "expected whole numbers, got float64"),
        ("a.json", "[true]", "expected whole numbers, got bool"),
        ("a.json", "[[1], [2, 3]]", "expected whole numbers"),
        ("a.json", "[[1, 2], [3, 4]]", "expected one axis"),
        ("a.json", "[18446744073709551615]", "beyond 64 bits"),
        ("a.json", '["a"]', "expected whole numbers"),
        ("a.json", '{"test": [1]}', "expected a list of indices, an object with 'indices', or a run's"),
        ("a.json", "3", "expected a list of indices"),
        ("a.json", "[1, 2", "a.json"),
        ("a.json", '{"indices": [0, 1, 2], "labels": [0]}', "expected a label for each of 3 indices, got 1"),
        ("a.json", "[0, 3, 1]", "leaves class 2 without a training image"),
        ("a.npy", "nothing", "not a readable .npy"),
        ("a.npz", "nothing", "not a readable .npz"),
        ("a.pkl", "nothing", "ends in .npy, .npz, .txt, .json, got '.pkl'"),
    ],
)
def test_what_is_no_split_is_refused_in_a_line(name, content, said, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=said) as caught:
        kept(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_no_pickle_is_ever_read(tmp_path):
    class Harm:
        def __reduce__(self):
            return (tmp_path.joinpath("harmed").touch, ())

    np.save(tmp_path / "a.npy", np.array([Harm()], object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", indices=np.array([Harm()], object))
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Harm()))
    for name in ("a.npy", "a.npz", "b.npy"):
        with pytest.raises(UserError):
            kept(tmp_path / name)
    assert not (tmp_path / "harmed").exists()


def test_several_arrays_without_a_name_that_says_it_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.arange(3))
    with pytest.raises(UserError, match="expected the array 'indices' or one alone, there are: x, y"):
        kept(tmp_path / "a.npz")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        kept(tmp_path / "a.txt")
    with refusing("imbalance.path", None):
        kept(None)


def test_a_run_goes_on_with_the_split_of_another(tmp_path):
    config = replace(compose(method="ce", model="linear", attack="natural"), epochs=1)
    config = replace(config, schedule=replace(config.schedule, reweight_from=0))
    fit(config, out=tmp_path / "first", device="cpu")
    again = replace(config, imbalance=SplitFile(path=tmp_path / "first" / "indices.json"))
    fit(again, out=tmp_path / "second", device="cpu")
    first, second = (json.loads((tmp_path / name / "indices.json").read_text()) for name in ("first", "second"))
    assert first == second
    assert again.id != config.id


def test_images_and_labels_stay_in_step(tmp_path):
    whole = Digits().train()
    chosen = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))[:600]
    np.save(tmp_path / "a.npy", chosen.numpy())
    data = prepare(Digits(), SplitFile(path=tmp_path / "a.npy"), Holdout(fraction=0.0), seed=5)
    assert torch.equal(data.train.images, whole.images[chosen.sort().values])
    assert torch.equal(data.train.labels, whole.labels[chosen.sort().values])

"""Every reader on files that the tests write, whole and damaged; real data where it lies on the disk."""

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import pickle
import struct
import tarfile
import threading
from functools import partial

import numpy as np
import pooch
import pytest
import scipy.io
import torch
from PIL import Image

from refusals import refusing
from srat.core.errors import UserError
from srat.core.members import choices
from srat.data import Source
from srat.data.reading.downloads import Remote, fetch
from srat.data.sources.arrays import Arrays
from srat.data.sources.cifar import Cifar, read_batch
from srat.data.sources.cifar10 import Cifar10
from srat.data.sources.cifar100 import Cifar100
from srat.data.sources.digits import Digits
from srat.data.sources.fashion_mnist import FashionMNIST, parse_idx
from srat.data.sources.folder import Folder
from srat.data.sources.svhn import SVHN, read_mat

RETRIEVE = pooch.retrieve


pytestmark = pytest.mark.usefixtures("no_network")


def test_the_sources_of_the_contract():
    of_version_0_1 = {"digits", "fashion-mnist", "cifar10", "cifar100", "svhn", "folder", "arrays"}
    assert set(choices(Source)) == of_version_0_1 | {"medmnist", "tiny-imagenet"}


class TestDigits:
    def test_are_those_of_scikit_learn(self):
        from sklearn.datasets import load_digits

        theirs, parts = load_digits(), (Digits().train(), Digits().test())
        for c in range(10):
            ours = torch.cat([part.images[part.labels == c, 0] for part in parts])
            assert torch.equal(ours.double(), torch.from_numpy(theirs.images[theirs.target == c] * 255 / 16).round())

    def test_sizes(self):
        train, test = Digits().train(), Digits().test()
        assert (len(train), len(test)) == (1297, 500)
        assert test.counts == (50,) * 10
        assert train.images.shape[1:] == (1, 8, 8)

    def test_no_image_is_in_both_parts(self):
        train, test = (
            {image.numpy().tobytes() for image in part.images} for part in (Digits().train(), Digits().test())
        )
        assert not train & test

    def test_keeps_the_seventeen_levels_apart(self):
        assert len(Digits().train().images.unique()) == 17


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


class TestFashionMNIST:
    @pytest.fixture
    def folder(self, tmp_path):
        rng = np.random.default_rng(0)
        for part, n in (("train", 30), ("t10k", 20)):
            images, labels = rng.integers(0, 256, (n, 28, 28), np.uint8), (np.arange(n) % 10).astype(np.uint8)
            (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
            (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
        return tmp_path

    def test_reads_packed_and_plain_files(self, folder):
        source = FashionMNIST(dir=folder, verify=False)
        assert source.train().images.shape == (30, 1, 28, 28)
        assert source.test().counts == (2,) * 10

    def test_idx_keeps_rows_and_columns(self):
        array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
        assert parse_idx(idx(array), axes=3, path="x").tolist() == array.tolist()

    def test_refuses_another_checksum(self, folder):
        with pytest.raises(UserError, match="wrong checksum"):
            FashionMNIST(dir=folder).train()

    @pytest.mark.parametrize(
        "content",
        [b"", b"\0\0\x08", b"\0\0\x08\x03\0\0", b"not an idx file at all", idx(np.zeros((2, 3, 4), np.uint8))[:-1]],
    )
    def test_refuses_what_is_no_idx_file(self, content):
        with pytest.raises(UserError, match="x: "):
            parse_idx(content, axes=3, path="x")

    def test_refuses_a_truncated_archive(self, folder):
        path = folder / "train-images-idx3-ubyte.gz"
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(UserError, match="truncated"):
            FashionMNIST(dir=folder, verify=False).train()

    @pytest.mark.real_data("fashion-mnist")
    def test_finds_debians_files_by_itself(self):
        train, test = FashionMNIST().train(), FashionMNIST().test()
        assert (train.counts, test.counts) == ((6000,) * 10, (1000,) * 10)


def cifar_batch(n, classes, key):
    rng = np.random.default_rng(n)
    return {
        b"data": rng.integers(0, 256, (n, 3072), np.uint8),
        key: [i % classes for i in range(n)],
        b"batch_label": b"made up",
    }


class TestCifar:
    @pytest.fixture(params=[Cifar10, Cifar100])
    def kind(self, request):
        return request.param

    @pytest.fixture
    def folder(self, tmp_path, kind):
        inner = tmp_path / kind.folder
        inner.mkdir()
        for name in (*kind.train_files, *kind.test_files):
            batch = cifar_batch(200, len(kind.class_names), kind.label_key.encode())
            (inner / name).write_bytes(pickle.dumps(batch, protocol=2))
        return tmp_path

    def test_reads_the_folder(self, kind, folder):
        for given in (folder, folder / kind.folder):
            train = kind(dir=given, verify=False).train()
            assert len(train) == 200 * len(kind.train_files)
            assert train.images.shape[1:] == (3, 32, 32)
            assert len(train.class_names) == len(set(train.class_names))

    def test_reads_the_archive_without_unpacking_it(self, kind, folder, tmp_path_factory):
        other = tmp_path_factory.mktemp("archive")
        with tarfile.open(other / kind.archive.name, "w:gz") as archive:
            archive.add(folder / kind.folder, kind.folder)
        before = sorted(other.iterdir())
        whole, packed = kind(dir=folder, verify=False).test(), kind(dir=other, verify=False).test()
        assert torch.equal(whole.images, packed.images)
        assert torch.equal(whole.labels, packed.labels)
        assert sorted(other.iterdir()) == before

    def test_finds_the_folder_of_the_environment(self, kind, folder, monkeypatch):
        monkeypatch.setenv("SRAT_DATA_DIR", str(folder))
        assert len(kind(verify=False).test()) == 200

    def test_looks_in_the_environments_folder_before_the_cache(self, kind, folder, monkeypatch):
        cache = pooch.os_cache("srat") / kind.folder
        cache.mkdir(parents=True)
        for name in kind.test_files:
            (cache / name).write_bytes(b"another")
        monkeypatch.setenv("SRAT_DATA_DIR", str(folder))
        assert len(kind(verify=False).test()) == 200

    def test_refuses_another_checksum(self, kind, folder):
        with pytest.raises(UserError, match="wrong checksum, expected MD5"):
            kind(dir=folder).test()

    def test_refuses_a_truncated_archive(self, kind, folder, tmp_path_factory):
        other = tmp_path_factory.mktemp("archive")
        with tarfile.open(other / kind.archive.name, "w:gz") as archive:
            archive.add(folder / kind.folder, kind.folder)
        path = other / kind.archive.name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(UserError, match="truncated"):
            kind(dir=other, verify=False).test()

    def test_refuses_an_archive_without_its_files(self, kind, tmp_path):
        with tarfile.open(tmp_path / kind.archive.name, "w:gz"):
            pass
        with pytest.raises(UserError, match="there is no file"):
            kind(dir=tmp_path, verify=False).test()

    def test_says_where_to_put_what_is_missing(self, kind, tmp_path):
        with pytest.raises(UserError, match=f"put the folder {kind.folder} or {kind.archive.name} there"):
            kind(dir=tmp_path).test()

    def test_rows_are_channels_first(self):
        data = np.zeros((1, 3072), np.uint8)
        data[0, 1024 + 2 * 32 + 5] = 9
        images, _ = read_batch(pickle.dumps({b"data": data, b"labels": [3]}), label_key="labels", path="x")
        assert images[0, 1, 2, 5] == 9
        assert images.sum() == 9

    @pytest.mark.parametrize(
        "batch",
        [
            b"",
            b"not a pickle",
            pickle.dumps([1, 2]),
            pickle.dumps({b"labels": [1]}),
            pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}),
            pickle.dumps({b"data": np.zeros((1, 5), np.uint8), b"labels": [1]}),
            pickle.dumps({b"data": np.zeros((1, 3072)), b"labels": [1]}),
            pickle.dumps({b"data": "text", b"labels": [1]}),
            pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": ["x"]}),
            pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10**30]}),
            pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [1]})[:-40],
        ],
    )
    def test_refuses_what_is_no_batch(self, batch):
        with pytest.raises(UserError, match="x: "):
            read_batch(batch, label_key="labels", path="x")

    def test_runs_no_code_of_a_pickle(self, tmp_path):
        target = tmp_path / "touched"

        class Trap:
            def __reduce__(self):
                return os.mkdir, (str(target),)

        for trap in (Trap(), {b"data": Trap()}, [Trap()]):
            with pytest.raises(UserError, match="has no place in a file of images"):
                read_batch(pickle.dumps(trap), label_key="labels", path="x")
        assert not target.exists()

    def test_lets_no_pickle_widen_an_array_after_the_fact(self):
        # With NumPy's own dtype, a state set later would make the array read beyond its memory.
        class Wide:
            def __reduce__(self):
                return np.dtype, ("V8", False, True), (3, "|", None, None, None, 4096, 1, 0)

        with pytest.raises(UserError, match="where bytes were expected"):
            read_batch(pickle.dumps({b"data": Wide(), b"labels": []}), label_key="labels", path="x")
        with pytest.raises(UserError, match="it has the opcode NEWOBJ"):
            read_batch(pickle.dumps({b"data": np.array([object()]), b"labels": []}), label_key="labels", path="x")

    def test_refuses_labels_outside_the_classes(self, tmp_path):
        (tmp_path / "test_batch").write_bytes(pickle.dumps(cifar_batch(20, 12, b"labels")))
        with pytest.raises(UserError, match="from 0 to 9, got 0 to 11"):
            Cifar10(dir=tmp_path, verify=False).test()

    @pytest.mark.real_data("cifar10")
    def test_reads_the_real_one(self):
        source: Cifar = Cifar10()
        train, test = source.train(), source.test()
        assert (train.counts, test.counts) == ((5000,) * 10, (1000,) * 10)
        # The mean of CIFAR-10's training pixels that every paper normalises by.
        mean = (train.images.double().mean((0, 2, 3)) / 255).tolist()
        assert mean == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)


class TestSVHN:
    @pytest.fixture
    def arrays(self):
        rng = np.random.default_rng(0)
        return {
            "X": rng.integers(0, 256, (32, 32, 3, 40), np.uint8),
            "y": (np.arange(40) % 10 + 1).astype(np.uint8)[:, None],
        }

    def test_reads_the_files(self, tmp_path, arrays):
        for part in ("train", "test"):
            scipy.io.savemat(tmp_path / f"{part}_32x32.mat", arrays)
        data = SVHN(dir=tmp_path, verify=False).train()
        assert data.images.shape == (40, 3, 32, 32)
        assert data.images[7, 2, 4, 5] == arrays["X"][4, 5, 2, 7]
        # The tenth image is labelled 10, which stands for the digit 0.
        assert data.labels[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]

    def test_takes_the_papers_step_size(self):
        assert SVHN.suggested.step_size == 1 / 255

    def test_refuses_another_checksum(self, tmp_path, arrays):
        scipy.io.savemat(tmp_path / "train_32x32.mat", arrays)
        with pytest.raises(UserError, match="wrong checksum"):
            SVHN(dir=tmp_path).train()

    @pytest.mark.parametrize("change", [{"X": np.zeros((5, 5))}, {"y": np.zeros((3, 1))}, {"X": None}])
    def test_refuses_another_layout(self, arrays, change):
        file = io.BytesIO()
        scipy.io.savemat(file, {name: value for name, value in {**arrays, **change}.items() if value is not None})
        with pytest.raises(UserError, match="x: "):
            read_mat(file.getvalue(), path="x")

    def test_refuses_a_truncated_file(self, arrays):
        file = io.BytesIO()
        scipy.io.savemat(file, arrays)
        for length in (0, 50, 130, 5000):
            with pytest.raises(UserError, match="truncated"):
                read_mat(file.getvalue()[:length], path="x")


class TestArrays:
    @pytest.fixture
    def arrays(self):
        rng = np.random.default_rng(0)
        return {
            "train_images": rng.integers(0, 256, (20, 9, 7, 3), np.uint8),
            "train_labels": np.arange(20) % 4,
            "test_images": rng.integers(0, 256, (8, 9, 7, 3), np.uint8),
            "test_labels": np.arange(8) % 4,
        }

    @pytest.fixture
    def save(self, tmp_path):
        def save(arrays):
            np.savez(tmp_path / "own.npz", **arrays)
            return Arrays(dir=tmp_path / "own.npz")

        return save

    def test_reads_colour(self, arrays, save):
        data = save(arrays).train()
        assert data.images.shape == (20, 3, 9, 7)
        assert data.images[3, 2, 4, 5] == arrays["train_images"][3, 4, 5, 2]
        assert data.class_names == ("0", "1", "2", "3")

    def test_reads_grey_and_floating_point(self, arrays, save):
        grey = {name: arrays[name][..., 0] / 255 for name in ("train_images", "test_images")}
        data = save({**arrays, **grey}).train()
        assert data.images.shape == (20, 1, 9, 7)
        assert data.images.dtype == torch.float32

    def test_reads_class_names(self, arrays, save):
        names = np.array(["cat", "dog", "größer", "a b"])
        assert save({**arrays, "class_names": names}).test().class_names == ("cat", "dog", "größer", "a b")

    def test_both_parts_have_the_classes_of_either(self, arrays, save):
        source = save({**arrays, "test_labels": np.zeros(8, int)})
        assert source.test().class_names == source.train().class_names == ("0", "1", "2", "3")

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"train_images": np.full((20, 9, 7, 3), 1.5)}, r"\[0, 1\]"),
            ({"train_images": np.full((20, 9, 7, 3), np.nan)}, "NaN"),
            ({"train_images": np.zeros((20, 9, 7, 3), np.complex64)}, "uint8 or floating point in .*, got complex64"),
            ({"train_images": np.zeros((20, 9, 7, 4), np.uint8)}, "1 or 3 channels"),
            ({"train_images": np.zeros((20, 9), np.uint8)}, "n × H × W"),
            ({"train_labels": np.arange(20) - 1}, "from 0 on"),
            ({"train_labels": np.arange(19)}, "one for each of 20"),
            ({"train_labels": np.linspace(0, 1, 20)}, "integers, got float64"),
            ({"train_labels": np.zeros(20, int), "test_labels": np.zeros(8, int)}, "at least two classes"),
            ({"class_names": np.array(["cat"])}, "at least two classes"),
            ({"train_labels": np.array([object()] * 20)}, "holds Python objects, expected plain"),
        ],
    )
    def test_refuses_what_does_not_fit(self, arrays, save, change, said):
        with pytest.raises(UserError, match=said):
            save({**arrays, **change}).train()

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"test_images": np.zeros((8, 5, 7, 3), np.uint8)}, "training images are of shape"),
            ({"test_labels": np.full(8, 3_000_000)}, "labels up to 3000000, but only 28 images"),
            ({"test_labels": np.full(8, np.nan)}, "test_labels: expected n integers"),
            ({"train_labels": np.array(["a"] * 20)}, "train_labels: expected n integers"),
            ({"class_names": np.array("cat")}, "a list of names"),
            ({"test_images": np.zeros((0, 9, 7, 3), np.uint8), "test_labels": np.zeros(0, int)}, "own.npz, test"),
        ],
    )
    def test_refuses_in_either_part_what_does_not_fit(self, arrays, save, change, said):
        with pytest.raises(UserError, match=said):
            save({**arrays, **change}).test()

    def test_refuses_damage_within_a_packed_array(self, arrays, tmp_path):
        path = tmp_path / "packed.npz"
        np.savez_compressed(path, **arrays)
        whole = bytearray(path.read_bytes())
        for position in range(60, len(whole), 997):
            damaged = whole.copy()
            damaged[position] ^= 0xFF
            path.write_bytes(damaged)
            with contextlib.suppress(UserError):
                Arrays(dir=path).train()

    def test_refuses_a_missing_array(self, arrays, save):
        del arrays["train_labels"]
        with pytest.raises(UserError, match="there is no train_labels"):
            save(arrays).train()

    def test_refuses_what_is_no_npz(self, tmp_path):
        path = tmp_path / "own.npz"
        for content in (b"", b"text", b"PK\x03\x04 and no more"):
            path.write_bytes(content)
            with pytest.raises(UserError, match="own.npz"):
                Arrays(dir=path).train()
        np.save(tmp_path / "one.npy", np.zeros(3))
        with pytest.raises(UserError, match="not a readable .npz"):
            Arrays(dir=tmp_path / "one.npy").train()
        with pytest.raises(UserError, match="does not exist"):
            Arrays(dir=tmp_path / "none.npz").train()
        with refusing("data.dir", None):
            Arrays().train()

    def test_refuses_a_truncated_file(self, arrays, save):
        source = save(arrays)
        whole = source.dir.read_bytes()
        for length in (len(whole) // 3, len(whole) - 10):
            source.dir.write_bytes(whole[:length])
            with pytest.raises(UserError, match="truncated"):
                source.train()

    def test_runs_no_code_of_an_object_array(self, arrays, save, tmp_path):
        target = tmp_path / "touched"

        class Trap:
            def __reduce__(self):
                return os.mkdir, (str(target),)

        with pytest.raises(UserError, match="holds Python objects, expected plain"):
            save({**arrays, "train_images": np.array([Trap()], dtype=object)}).train()
        assert not target.exists()


class TestFolder:
    @pytest.fixture
    def make(self, tmp_path):
        def make(files):
            for name, (size, mode) in files.items():
                path = tmp_path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                shade = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 256
                Image.new(mode, size, {"L": shade, "RGB": (shade, 0, 255 - shade)}.get(mode)).save(path)
            return tmp_path

        return make

    @pytest.fixture
    def ten(self):
        return {f"{name}/{i}.png": ((6, 5), "L") for name in ("cat", "dög 2") for i in range(10)}

    def test_reads_grey_images(self, make, ten):
        train, test = Folder(dir=make(ten)).train(), Folder(dir=make(ten)).test()
        assert train.images.shape == train.images[:].shape == (12, 1, 5, 6)
        assert (train.counts, test.counts) == ((6, 6), (4, 4))
        assert train.class_names == ("cat", "dög 2")

    def test_reads_given_parts(self, make):
        folder = make(
            {
                f"{part}/{c}/{i}.png": ((4, 4), "RGB")
                for part, n in (("train", 3), ("test", 2))
                for c in "ab"
                for i in range(n)
            }
        )
        assert Folder(dir=folder).train().counts == (3, 3)
        assert Folder(dir=folder).test().counts == (2, 2)

    def test_one_colour_image_makes_all_of_them_colour(self, make, ten):
        folder = make({**ten, "cat/colour.jpg": ((6, 5), "RGB")})
        assert Folder(dir=folder).train().images.shape[1] == 3
        assert Folder(dir=folder, color="grey").test().images.shape[1] == 1

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
    def test_reads_every_usual_mode(self, make, ten, mode):
        suffix = "jpg" if mode == "CMYK" else "png"
        make({**ten, f"cat/other.{suffix}": ((6, 5), mode)})
        folder = make(ten)
        assert len(Folder(dir=folder).train().images[:]) + len(Folder(dir=folder).test().images[:]) == 21

    def test_scales_sixteen_bits_to_eight(self, make, ten):
        folder = make(ten)
        levels = np.linspace(0, 65_535, 30).astype(np.uint16).reshape(5, 6)
        for name in ("cat", "dög 2"):
            for i in range(10):
                Image.fromarray(levels).save(folder / name / f"{i}.png")
        image = Folder(dir=folder).train().images[:1][0, 0]
        assert image.flatten().tolist() == (levels // 257).flatten().tolist()

    def test_turns_photographs_upright(self, make, ten):
        folder = make(ten)
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90 degrees
        for name in ("cat", "dög 2"):
            for path in (folder / name).iterdir():
                path.unlink()
            for i in range(20):
                Image.new("L", (5, 6)).save(folder / name / f"{i}.jpg", exif=exif)
        images = Folder(dir=folder).train().images
        assert images.shape[2:] == images[:].shape[2:] == (5, 6)

    def test_refuses_a_test_of_another_size_before_the_training(self, make):
        files = {
            f"{part}/{c}/{i}.png": ((n, n), "L") for part, n in (("train", 4), ("test", 5)) for c in "ab" for i in "01"
        }
        with pytest.raises(UserError, match="`data.size` resizes"):
            Folder(dir=make(files)).train()

    def test_resizes(self, make, ten):
        folder = make({**ten, "cat/large.png": ((40, 30), "L")})
        assert Folder(dir=folder, size=12).train().images[:].shape[2:] == (12, 12)

    def test_refuses_differing_sizes_without_a_size(self, make, ten):
        folder = make({**ten, **{f"cat/large{i}.png": ((40, 30), "L") for i in range(9)}})
        with pytest.raises(UserError, match=r"pixels, but .* `data.size` resizes"):
            Folder(dir=folder).train()

    def test_refuses_an_empty_class(self, make, ten):
        folder = make(ten)
        (folder / "empty").mkdir()
        with pytest.raises(UserError, match="no image in class empty"):
            Folder(dir=folder).train()

    def test_refuses_an_unreadable_image(self, make, ten):
        folder = make(ten)
        (folder / "cat" / "bad.png").write_bytes(b"no image")
        with pytest.raises(UserError, match=r"bad.png: not a readable image"):
            Folder(dir=folder).train()

    @pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp"])
    def test_refuses_a_truncated_image(self, make, ten, suffix):
        folder = make({**ten, f"cat/cut.{suffix}": ((60, 60), "RGB")})
        path = folder / "cat" / f"cut.{suffix}"
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(UserError, match=f"cut.{suffix}: not a readable image, or truncated"):
            Folder(dir=folder, size=8).train().images[:], Folder(dir=folder, size=8).test().images[:]

    def test_refuses_a_folder_without_classes(self, tmp_path):
        with pytest.raises(UserError, match="one folder per class"):
            Folder(dir=tmp_path).train()

    def test_refuses_one_class(self, make):
        with pytest.raises(UserError, match="at least two classes"):
            Folder(dir=make({f"cat/{i}.png": ((4, 4), "L") for i in range(4)})).train()

    def test_refuses_a_class_of_one_image(self, make, ten):
        with pytest.raises(UserError, match="no training image in class fox"):
            Folder(dir=make({**ten, "fox/0.png": ((6, 5), "L")})).train()

    def test_refuses_classes_of_one_part_only(self, make):
        folder = make({"train/a/0.png": ((4, 4), "L"), "train/b/0.png": ((4, 4), "L"), "test/a/0.png": ((4, 4), "L")})
        with pytest.raises(UserError, match=r"only in one of them: 'b' \(train\)"):
            Folder(dir=folder).train()

    def test_refuses_what_is_no_folder(self, tmp_path):
        with refusing("data.dir", None):
            Folder().train()
        for given, said in ((tmp_path / "none", "does not exist"), (type(tmp_path)(__file__), "is a file")):
            with pytest.raises(UserError, match=f"`data.dir`: expected a folder, got '{given}', which {said}"):
                Folder(dir=given).train()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("size", 1),
            ("size", 5000),
            ("test_fraction", 0.0),
            ("test_fraction", 1.0),
            ("workers", 0),
            ("workers", 1025),
            ("white_level", 0),
            ("white_level", 65_536),
        ],
    )
    def test_refuses_what_is_out_of_range(self, field, value):
        with refusing(f"data.{field}", value):
            Folder(**{field: value})


class TestFetch:
    """Against a real server, on this machine."""

    @pytest.fixture
    def server(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("served")
        (folder / "file.bin").write_bytes(b"what was published")

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *args):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}/file.bin"
            server.shutdown()

    @pytest.fixture(autouse=True)
    def _with_network(self, no_network, monkeypatch):
        monkeypatch.setattr(pooch, "retrieve", RETRIEVE)

    def test_downloads_and_checks(self, server, tmp_path):
        md5 = hashlib.md5(b"what was published").hexdigest()
        remote = Remote(name="file.bin", url=server, md5=md5)
        for given in (tmp_path, None):
            path = fetch(remote, given, ["file.bin"])
            assert path.read_bytes() == b"what was published"
            assert path.parent == (given or pooch.os_cache("srat"))

    def test_refuses_another_checksum_and_keeps_nothing(self, server, tmp_path):
        remote = Remote(name="file.bin", url=server, md5="0" * 32)
        with pytest.raises(UserError, match="could not be fetched"):
            fetch(remote, tmp_path, ["file.bin"])
        assert not (tmp_path / "file.bin").exists()

    def test_says_what_is_missing_where_there_is_no_server(self, tmp_path):
        remote = Remote(name="file.bin", url="http://127.0.0.1:9/file.bin", md5="0" * 32)
        with pytest.raises(UserError, match=r"put file.bin there, or name its folder with `data.dir` or SRAT_DATA_DIR"):
            fetch(remote, tmp_path, ["file.bin"])

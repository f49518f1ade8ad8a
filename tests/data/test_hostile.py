"""Files of strangers: no code runs, no file appears, memory and time stay bounded, one clear line."""

import gzip
import io
import os
import pickle
import resource
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
from PIL import Image

from srat.core.errors import UserError
from srat.data.reading import downloads as files
from srat.data.reading import formats
from srat.data.reading.downloads import LARGEST, read_from_tar
from srat.data.reading.mat import read_arrays
from srat.data.sources.arrays import Arrays
from srat.data.sources.cifar import Cifar, check_opcodes, read_batch
from srat.data.sources.cifar10 import Cifar10
from srat.data.sources.fashion_mnist import FashionMNIST
from srat.data.sources.folder import Folder
from srat.data.sources.svhn import SVHN, read_mat

MB = 1 << 20


@pytest.fixture(autouse=True)
def bounded():
    """No more than a minute, and no more than 300 MB above what there was, in Python or outside of it."""
    tracemalloc.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 * MB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * MB / 1024
    assert time.monotonic() - start < 60


@pytest.fixture
def small_limit(monkeypatch):
    """The limit of published files, lowered, so that a bomb can be made in a moment."""
    monkeypatch.setattr(files, "LARGEST", 4 * MB)
    monkeypatch.setattr("srat.data.sources.svhn.LARGEST", 4 * MB)


def refused(read, said):
    with pytest.raises(UserError, match=said) as raised:
        read()
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 2_000


class TestPickle:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"]r\xff\xff\xff\x7f.", "CIFAR batch"),  # a memo of 32 GB
            (b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00.", "opcode BYTEARRAY8|expected .* bytes"),  # room for 1 TB
            (b"\x80\x02" + b")" + b"\x85" * 100_000 + b".", "tuples in tuples"),  # whose hash overflows the stack
            (b"\x80\x02})" + b"q\x01h\x01\x86" * 60 + b"K\x01s.", "tuples in tuples"),  # whose hash takes 2^60 steps
            (
                b"\x80\x02]" + b"q\x01(h\x01h\x01h\x01l" * 40 + b"q\x01cnumpy\ndtype\nh\x01\x85R.",
                "something else where bytes were expected",
            ),
            (
                b"\x80\x02]" + b"q\x01(h\x01h\x01l" * 40 + b"q\x01c_codecs\nencode\nX\x01\x00\x00\x00ah\x01\x86R.",
                "another encoding than latin1",
            ),
            (b"N" * 600_000, "it has no end"),
            (b"(" + b"N" * 100 + b"t.", "it has a long tuple"),
            (b"}\x8a\x09" + b"\xff" * 8 + b"\x7fK\x01s.", "it has a huge number"),
            (
                b"\x80\x02X\x00\x10\x00\x00"
                + b"a" * 4096
                + b"q\x00X\x06\x00\x00\x00latin1q\x01c_codecs\nencode\nq\x02"
                + b"h\x02h\x00h\x01\x86R" * 100
                + b".",
                "the same bytes over and over",
            ),
            (b"cos\nsystem\n(S'touch x'\ntR.", "it asks for os.system"),
            (b"cbuiltins\neval\n.", "it asks for builtins.eval"),
            (b"csrat.data.cifar\nread_batch\n.", "it asks for srat"),
            (b"cos.path\nos.system\n.", "it asks for os.path"),
            (b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93(d}\x8c\x01ad\x86b.", "CIFAR batch"),
            (b"Pos\n.", "opcode PERSID"),
            (b"\x82\x01.", "opcode EXT1"),
            (b"ios\nsystem\n.", "opcode INST"),
        ],
    )
    def test_is_refused(self, content, said, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        refused(lambda: read_batch(content, label_key="labels", path="x"), said)
        assert not list(tmp_path.iterdir())

    def test_lists_in_lists_do_not_become_an_array(self):
        laughs = [0] * 10
        for _ in range(20):
            laughs = [laughs] * 10  # 10^21 elements, if anyone counted them
        batch = {b"data": np.zeros((10, 3072), np.uint8), b"labels": laughs}
        refused(lambda: read_batch(pickle.dumps(batch), label_key="labels", path="x"), "expected a list of labels")

    @pytest.mark.parametrize("name", ["_reconstruct", "ndarray", "dtype"])
    def test_changes_nothing_of_ours(self, name):
        # BUILD on the global itself would set attributes of what later files are read with.
        module = b"numpy" if name in ("ndarray", "dtype") else b"numpy.core.multiarray"
        content = b"c" + module + b"\n" + name.encode() + b"\n}(S'x'\nI1\nub."
        refused(lambda: read_batch(content, label_key="labels", path="x"), "CIFAR batch")
        whole = pickle.dumps({b"data": np.ones((1, 3072), np.uint8), b"labels": [3]})
        images, labels = read_batch(whole, label_key="labels", path="x")
        assert (int(images.sum()), labels.tolist()) == (3072, [3])

    @pytest.mark.parametrize("protocol", range(5))
    def test_plain_ones_pass(self, protocol):
        check_opcodes(pickle.dumps({b"data": np.ones((2, 3072), np.uint8), b"labels": [3, 4]}, protocol=protocol))


class TestArchive:
    @staticmethod
    def archive(path, *members):
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            for name, kind, content in members:
                member = tarfile.TarInfo(name)
                member.type = kind
                if kind == tarfile.REGTYPE:
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
                else:
                    member.linkname = content
                    archive.addfile(member)

    @pytest.mark.parametrize("name", ["../../out", "/tmp/out", "d/../../out"])
    def test_names_that_leave_the_folder_are_names(self, tmp_path, name):
        self.archive(tmp_path / "x.tar.gz", (name, tarfile.REGTYPE, b"abc"), ("d/a", tarfile.REGTYPE, b"def"))
        before = sorted(tmp_path.rglob("*"))
        assert read_from_tar(tmp_path / "x.tar.gz", ["d/a"]) == [b"def"]
        assert sorted(tmp_path.rglob("*")) == before

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
    @pytest.mark.parametrize("target", ["/etc/passwd", "d/b", "d/a"])
    def test_links_are_not_followed(self, tmp_path, kind, target):
        self.archive(tmp_path / "x.tar.gz", ("d/a", kind, target), ("d/b", kind, "d/a"))
        refused(lambda: read_from_tar(tmp_path / "x.tar.gz", ["d/a"]), "there is no file 'd/a' in this archive")

    def test_bombs_are_refused(self, tmp_path, small_limit):
        zeros = bytes(5 * MB)
        for members in ([("d/a", tarfile.REGTYPE, zeros)], [(f"{i}", tarfile.REGTYPE, zeros[:MB]) for i in range(6)]):
            self.archive(tmp_path / "x.tar.gz", *members)
            refused(lambda: read_from_tar(tmp_path / "x.tar.gz", ["d/a"]), "unpacks to more than 4.19 MB")

    def test_a_claim_of_eight_exabytes_is_refused(self, tmp_path):
        member = tarfile.TarInfo("d/a")
        member.size = 1 << 62
        (tmp_path / "x.tar.gz").write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT)))
        refused(lambda: read_from_tar(tmp_path / "x.tar.gz", ["d/a"]), "unpacks to more than")

    def test_a_header_that_regular_expressions_dread_is_passed_over(self, tmp_path):
        with tarfile.open(tmp_path / "x.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
            header = tarfile.TarInfo("x")
            header.type, header.size = tarfile.XHDTYPE, 2 * MB
            archive.addfile(header, io.BytesIO(b"1" * 2 * MB))
        refused(lambda: read_from_tar(tmp_path / "x.tar.gz", ["d/a"]), "there is no file")

    def test_a_packed_file_that_does_not_end_is_refused(self, tmp_path, small_limit):
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(64 * MB), 1))
        refused(FashionMNIST(dir=tmp_path, verify=False).train, "unpacks to more than 4.19 MB")

    def test_a_file_that_does_not_end_is_refused(self, tmp_path, small_limit):
        (tmp_path / "train_32x32.mat").symlink_to("/dev/zero")
        refused(SVHN(dir=tmp_path, verify=False).train, "expected a file, got a device or a pipe")

    def test_a_file_without_contents_and_without_end_is_refused(self, tmp_path):
        with (tmp_path / "train_32x32.mat").open("wb") as file:
            file.truncate(1 << 40)
        refused(SVHN(dir=tmp_path, verify=False).train, "expected at most 537 MB, got 1.1 TB")

    @pytest.mark.parametrize(
        ("source", "name"),
        [
            (SVHN, "test_32x32.mat"),
            (FashionMNIST, "t10k-images-idx3-ubyte.gz"),
            (Cifar10, "cifar-10-python.tar.gz"),
            (Cifar10, "test_batch"),
        ],
    )
    def test_a_pipe_is_not_waited_for(self, tmp_path, source, name):
        os.mkfifo(tmp_path / name)
        refused(source(dir=tmp_path).test, "expected a file, got .*a pipe")

    def test_published_files_pass(self):
        sizes = {"cifar-100": 186_000_000, "svhn train": 182_040_794, "svhn unpacked": 226_000_000}
        assert max(sizes.values()) < LARGEST

    def test_the_checksum_comes_before_the_reader(self, tmp_path, monkeypatch):
        monkeypatch.setattr("srat.data.sources.cifar.read_batch", None)
        (tmp_path / "test_batch").write_bytes(b"anything")
        source: Cifar = Cifar10(dir=tmp_path)
        refused(source.test, "wrong checksum")


class TestMat:
    ARRAYS = {"X": np.arange(2 * 3072, dtype=np.uint8).reshape(32, 32, 3, 2), "y": np.array([[1.0], [10.0]])}  # noqa: RUF012

    @staticmethod
    def saved(arrays, **options):
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, arrays, **options)
        return buffer.getvalue()

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8"])
    def test_reads_what_scipy_reads(self, packed, kind):
        arrays = {"a": np.arange(12).reshape(2, 3, 2).astype(kind), "b": np.zeros((0, 4), kind), "other": np.eye(3)}
        content = self.saved(arrays, do_compression=packed)
        ours, theirs = read_arrays(content, ("a", "b"), limit=MB), scipy.io.loadmat(io.BytesIO(content))
        assert sorted(ours) == ["a", "b"]
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name])

    def test_a_bomb_is_refused(self, small_limit):
        content = self.saved({**self.ARRAYS, "X": np.zeros((32, 32, 3, 5_000), np.uint8)}, do_compression=True)
        assert len(content) < 100_000
        refused(lambda: read_mat(content, path="x"), "unpacks to more than 4.19 MB")

    def test_cells_structures_and_the_like_are_refused(self):
        cell = np.empty((1, 1), object)
        cell[0, 0] = np.zeros(2)
        for odd in (cell, {"a": 1}, "text", np.ones(2) * 1j, scipy.sparse.eye_array(3)):
            refused(
                lambda odd=odd: read_mat(self.saved({**self.ARRAYS, "y": odd}), path="x"), "no array of real numbers"
            )

    def test_an_older_version_is_refused(self):
        refused(lambda: read_mat(self.saved({"y": np.eye(2)}, format="4"), path="x"), "expected a file of MATLAB 5")

    def test_any_bit_may_be_wrong(self):
        whole = self.saved({"X": self.ARRAYS["X"][..., :1], "y": np.array([[1.0]])})
        for position in [*range(120, 260), *range(len(whole) - 120, len(whole))]:
            for bit in (0, 1, 3, 7):  # kinds and lengths are small numbers, or become huge ones
                changed = bytearray(whole)
                changed[position] ^= 1 << bit
                try:
                    read_mat(bytes(changed), path="x")
                except UserError as error:
                    assert str(error).startswith("x: ")  # noqa: PT017

    def test_two_arrays_of_a_name_are_refused(self):
        content = self.saved(self.ARRAYS) + self.saved(self.ARRAYS)[128:]
        refused(lambda: read_mat(content, path="x"), "there are two arrays X")


class TestNpz:
    ARRAYS = {  # noqa: RUF012
        "train_images": np.zeros((4, 5, 5), np.uint8),
        "train_labels": np.arange(4) % 2,
        "test_images": np.zeros((2, 5, 5), np.uint8),
        "test_labels": np.arange(2),
    }

    def save(self, path, **change):
        """Write arrays, of which some may be bytes instead."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in {**self.ARRAYS, **change}.items():
                buffer = io.BytesIO()
                if isinstance(array, bytes):
                    buffer.write(array)
                else:
                    np.save(buffer, array, allow_pickle=True)
                archive.writestr(f"{name}.npy", buffer.getvalue())
        return Arrays(dir=path)

    @staticmethod
    def header(shape, kind="|u1"):
        text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()

    def test_this_fixture_is_readable(self, tmp_path):
        assert len(self.save(tmp_path / "x.npz").train()) == 4
        assert len(self.save(tmp_path / "x.npz", train_labels=self.header((4,), "<i2") + b"\0\0\1\0" * 2).train()) == 4

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"train_images": header((10**12, 28, 28))}, "the arrays: needs 784 TB of memory, there are"),
            ({"train_labels": header((10**15,), "<i8")}, "the arrays: needs .* of memory"),
            ({"class_names": header((10**6,), "<U100000")}, "the arrays: needs 400 GB of memory"),
            (
                {"train_images": b"\x93NUMPY\x02\x00\x00\x00\x00\x20" + bytes(2 * MB)},
                "has a header of 536,870,912 bytes",
            ),
            ({"train_images": header((10**4, 8, 8))}, "not a readable .npz"),  # which holds none of what it says
            ({"train_images": header((-5, 8, 8))}, r"train_images has the shape \(-5, 8, 8\)"),
            ({"class_names": np.arange(1_000_000)}, "1,000,000 class_names, but only 6 images"),
            ({"train_images": header((4, 5, 5), "|O")}, "train_images holds Python objects"),
            ({"train_images": np.array([object()] * 4)}, "train_images holds Python objects"),
            ({"train_images": b"\x93NUMPY\x09\x00"}, "train_images is of an unknown version"),
            ({"train_images": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 60_000}, "has a header of 65,535 bytes"),
            ({"train_images": b""}, "not a readable .npz"),
            ({"class_names": np.array([b"a", b"b"])}, "class_names: expected text"),
            ({"class_names": np.array([1.5, 2.5])}, "class_names: expected text"),
            ({"class_names": header((2,), "<U1") + b"\xff" * 8}, "class_names: expected text"),  # beyond Unicode
            ({"class_names": np.array(["a", "a"])}, "class names: expected each once, got 'a' twice"),
            ({"class_names": header((2,), "<U1") + struct.pack("<II", 0xD800, 97)}, "expected a printable name"),
            ({"class_names": np.array(["a", ""])}, "expected a printable name for each class, got ''"),
            ({"class_names": np.array(["a", "c\n"])}, r"expected a printable name for each class, got 'c\\n'"),
        ],
    )
    def test_is_refused(self, tmp_path, change, said):
        refused(self.save(tmp_path / "x.npz", **change).train, said)

    def test_a_bomb_is_refused_unread(self, tmp_path, monkeypatch):
        source = self.save(tmp_path / "x.npz", train_images=np.zeros((4, 4_000, 4_000), np.uint8))
        assert source.dir.stat().st_size < MB
        monkeypatch.setattr("srat.runtime.machine.free_memory", lambda: 100 * MB)
        tracemalloc.reset_peak()
        refused(source.train, "the arrays: needs 64 MB of memory, there are 105 MB")
        assert tracemalloc.get_traced_memory()[1] < 20 * MB

    def test_what_is_checked_is_what_is_read(self, tmp_path, monkeypatch):
        source = self.save(tmp_path / "x.npz")
        with zipfile.ZipFile(source.dir, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("train_images", self.header((4, 4_000, 4_000)) + bytes(64 * MB))
        monkeypatch.setattr("srat.runtime.machine.free_memory", lambda: 100 * MB)
        tracemalloc.reset_peak()
        assert source.train().images.shape == (4, 1, 5, 5)
        assert tracemalloc.get_traced_memory()[1] < 20 * MB

    def test_an_entry_that_leaves_the_folder_is_a_name(self, tmp_path):
        source = self.save(tmp_path / "x.npz")
        with zipfile.ZipFile(source.dir, "a") as archive:
            archive.writestr("../../out.npy", b"x")
        before = sorted(tmp_path.rglob("*"))
        assert len(source.train()) == 4
        assert sorted(tmp_path.rglob("*")) == before


class TestImages:
    @pytest.fixture
    def place(self, tmp_path):
        """Put an image among good ones, and return the source."""
        for kind in ("train", "test"):
            for name in ("a", "b"):
                (tmp_path / kind / name).mkdir(parents=True)
                Image.new("L", (4, 4)).save(tmp_path / kind / name / "1.png")

        def place(content, name="2.png"):
            (tmp_path / "train" / "a" / name).write_bytes(content)
            return Folder(dir=tmp_path)

        return place

    @staticmethod
    def png(width, height, data=b""):
        def chunk(kind, content):
            return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")

    @pytest.mark.parametrize("side", [9_000, 12_000, 50_000, 2**31 - 1])
    def test_one_of_too_many_pixels_is_refused_unread(self, place, side, recwarn):
        source = place(self.png(side, side, zlib.compress(bytes(1_000))))
        refused(source.train, r"2\.png: .*pixels")
        assert not recwarn.list

    def test_postscript_is_not_handed_to_an_interpreter(self, place, monkeypatch):
        from PIL import EpsImagePlugin

        monkeypatch.setattr(EpsImagePlugin, "Ghostscript", None)
        refused(
            place(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n(x) run\n").train, "2.png: not a"
        )

    def test_more_than_memory_holds_is_refused(self, place, monkeypatch):
        monkeypatch.setattr("srat.runtime.machine.free_memory", lambda: 50)
        source = replace(place(self.png(4, 4, zlib.compress(bytes(20)))), streaming="never")
        refused(source.train().images.loaded, r"3 images of 4 × 4 pixels: needs \d+ bytes of memory")

    def test_what_is_no_file_is_passed_over(self, place, tmp_path):
        source = place(self.png(4, 4, zlib.compress(bytes(20))))
        os.mkfifo(tmp_path / "train" / "a" / "3.png")
        (tmp_path / "train" / "a" / "4.png").mkdir()
        (tmp_path / "train" / "a" / "5.png").symlink_to("/dev/zero")
        (tmp_path / "train" / "a" / "6.png").symlink_to("nowhere")
        (tmp_path / "train" / "a" / "loop").symlink_to(tmp_path / "train")
        assert len(source.train()) == 3

    def test_names_of_classes_stay_what_they_are(self, tmp_path):
        names = sorted(["<script>alert(1)</script>".replace("/", "∕"), "new\nline", "\x1b[2Jred", "$x$ & \"y\" 'z'"])
        for name in names:
            (tmp_path / name).mkdir()
            for number in range(2):
                Image.new("L", (4, 4)).save(tmp_path / name / f"{number}.png")
        assert Folder(dir=tmp_path).train().class_names == tuple(names)
        (tmp_path / names[0] / "0.png").write_bytes(b"")
        refused(Folder(dir=tmp_path).train, "not a readable image")

    def test_a_name_that_is_no_text_is_refused(self, tmp_path):
        for name in (b"a", b"\xff\xfe"):
            inner = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118
            os.mkdir(inner)  # noqa: PTH102
            for number in (b"0.png", b"1.png"):
                with open(os.path.join(inner, number), "wb") as file:  # noqa: PTH118, PTH123
                    Image.new("L", (4, 4)).save(file, "PNG")
        refused(Folder(dir=tmp_path).train, "not UTF-8")

    def test_folder_is_the_only_reader_of_images(self):
        handed_on = {"EPS", "PDF", "WMF", "PSD", "FITS", "HDF5", "GRIB", "BUFR", "MPEG", "XVTHUMB", "SPIDER"}
        assert not handed_on & {*formats.FORMATS}

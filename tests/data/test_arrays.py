"""Arrays as people have them: names, shapes, types, parts of their own or drawn, and what a run keeps of them."""

import itertools
import json
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import srat
from refusals import refusing
from srat.cli import main
from srat.config.config import Config
from srat.core.errors import UserError
from srat.core.files import content_digest
from srat.data import hash_contents, prepare
from srat.data.array_file.values import image_notes, read_images
from srat.data.record import PARTS, Record, hashed_share
from srat.data.sources.arrays import Arrays
from srat.training.fitting import require_whole

CLASSES = 3


def images_of(ids):
    """Return an image of 2 × 3 for each number, which it shows."""
    return np.array([[[i % 256, i // 256, 255], [1, 2, 3]] for i in ids], np.uint8).reshape(-1, 2, 3)


def labels_of(ids):
    return np.array([i % CLASSES for i in ids], np.int64)


def stored(images, how):
    """Return images of bytes as they are stored otherwise."""
    if how == "channels first":
        return images.transpose(0, 3, 1, 2)
    return images if how == "bytes" else images.astype(how) if how == "int64" else (images / 255).astype(how)


MAKERS = {"images": images_of, "labels": labels_of}


def shown(dataset):
    """Return the number that each image shows, having seen that its label is that number's."""
    images = dataset.images
    ids = [int(image[0, 0, 0]) + 256 * int(image[0, 0, 1]) for image in images]
    assert dataset.labels.tolist() == [i % CLASSES for i in ids]
    return ids


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "own.npz", **arrays)
        return Arrays(dir=tmp_path / "own.npz")

    return save


@pytest.fixture
def source(save):
    """Return a source with images of these numbers in each part."""

    def source(**parts):
        arrays = {f"{part}_images": images_of(ids) for part, ids in parts.items()}
        return save(**arrays, **{f"{part}_labels": labels_of(ids) for part, ids in parts.items()})

    return source


class TestLabels:
    @pytest.mark.parametrize(
        "as_had",
        [
            lambda labels: labels[:, None].astype(np.uint8),
            lambda labels: labels[:, None, None],
            lambda labels: labels.astype(np.int8),
            lambda labels: labels.astype(np.uint64),
            lambda labels: labels.astype(">i2"),
            lambda labels: labels.astype(np.float64),
            lambda labels: labels.astype(np.longdouble),
            lambda labels: labels[:, None].astype(np.float16),
        ],
    )
    def test_are_understood(self, save, as_had):
        labels = labels_of(range(30))
        images = {"train_images": images_of(range(30)), "test_images": images_of(range(30, 60))}
        data = save(**images, train_labels=as_had(labels), test_labels=as_had(labels))
        assert data.train().labels.tolist() == data.test().labels.tolist() == labels.tolist()
        assert data.train().class_names == ("0", "1", "2")

    @pytest.mark.parametrize("names", [{}, {"class_names": np.array(["a", "b", "c"])}])
    @pytest.mark.parametrize("tested", [False, True])
    def test_that_begin_at_1_are_refused_with_the_way_out(self, save, names, tested):
        test = {"test_images": images_of(range(30)), "test_labels": labels_of(range(30)) + 1} if tested else {}
        own = save(train_images=images_of(range(30)), train_labels=labels_of(range(30)) + 1, **test, **names)
        name = "a" if names else "0"
        with pytest.raises(UserError) as error:
            own.parts()
        assert str(error.value) == f"{own.dir}: no training image in class {name}; the labels begin at 1: subtract 1"

    @pytest.mark.parametrize(("part", "said"), [("test", "test"), ("val", "validation")])
    def test_that_training_has_none_of_are_said_with_their_part(self, save, part, said):
        arrays = {f"{part}_images": images_of(range(30)), f"{part}_labels": np.arange(30) % 5}
        whole = {"train": range(30), **({"test": range(9)} if part == "val" else {})}
        for name, ids in whole.items():
            arrays |= {f"{name}_images": images_of(ids), f"{name}_labels": labels_of(ids)}
        with pytest.raises(UserError, match=rf"no training image in class 3, 4; the {said} part has class 3, 4$"):
            save(**arrays).parts()
        assert replace(save(**arrays), classes=(0, 1, 2)).train().class_names == ("0", "1", "2")

    def test_that_are_booleans_are_of_two_classes(self, save):
        labels = np.arange(30) % 2 == 1
        data = save(images=images_of(range(30)), labels=labels)
        both = data.train().counts, data.test().counts
        assert np.sum(both, axis=0).tolist() == [15, 15]

    @pytest.mark.parametrize(
        ("labels", "said"),
        [
            (np.eye(3)[labels_of(range(30))], r"one-hot labels; labels.argmax\(axis=1\) makes them into such"),
            (np.ones((30, 3), np.uint8), "several labels for an image, of which a classifier has one"),
            (np.zeros((30, 14), bool), "several labels for an image"),
            (np.full((30, 2), 5), r"expected n integers, got int64 of shape \(30, 2\)$"),
            (np.arange(30) / 2, "not all whole numbers"),
            (np.full(30, np.nan), "not all whole numbers"),
            (np.full(30, np.inf), "too large"),
            (np.full(30, 2**63, np.uint64), "too large"),
            (np.array(["cat", "dog", "fox"] * 10), "number the classes from 0, and put their names into class_names"),
            (np.array([b"cat", b"dog", b"fox"] * 10), "number the classes from 0"),
            (np.zeros(30, np.complex64), "expected n integers, got complex64"),
            (np.array(3), r"expected n integers, got int64 of shape \(\)"),
            (labels_of(range(29)), "train_labels: expected one for each of 30 images, got 29"),
            (labels_of(range(30)) - 1, "labels: expected integers from 0 on, got -1 to 1"),
        ],
    )
    def test_are_refused(self, save, labels, said):
        images = {"train_images": images_of(range(30)), "test_images": images_of(range(3))}
        data = save(**images, train_labels=labels, test_labels=np.arange(3) % 2)
        with pytest.raises(UserError, match=said) as raised:
            data.train()
        assert "own.npz" in str(raised.value)


class TestImages:
    @pytest.fixture
    def read(self, save):
        """Read images as training and test images, and return the former with what is said of them."""

        def read(images):
            labels = np.arange(len(images)) % 2
            parts = save(train_images=images, train_labels=labels, test_images=images, test_labels=labels).parts()
            assert torch.equal(parts.train().images, parts.test().images)
            return parts.train().images, list(parts.notes)

        return read

    RNG = np.random.default_rng(0)
    LEVELS = RNG.integers(0, 256, (6, 5, 4, 3), np.uint8)

    def test_as_the_contract_has_them_need_no_word(self, read):
        assert read(self.LEVELS)[1] == read(self.LEVELS / 255)[1] == read(self.LEVELS[..., 0])[1] == []

    @pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int16, ">u2", np.int32, np.uint32, np.int64, np.uint64])
    def test_of_other_integers_are_levels(self, read, kind):
        levels = self.LEVELS // 2  # up to 127, for int8
        images, notes = read(levels.astype(kind))
        assert images.dtype == torch.uint8
        assert torch.equal(images, read(levels)[0])
        read_as = f"{np.dtype(kind)} from {levels.min()} to {levels.max()} is read as levels of 0 to 255"
        dark = "no value is above 127 of 255, so the images are dark: images / 127 makes the largest white"
        assert notes == [f"train_images, test_images: {each}" for each in (read_as, dark)]

    @pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble, ">f8"])
    def test_of_every_floating_point_are_values(self, read, kind):
        images, notes = read((self.LEVELS / 255).astype(kind))
        assert images.dtype == torch.float32
        assert images.permute(0, 2, 3, 1).numpy() == pytest.approx(self.LEVELS / 255, abs=1e-3)
        assert notes == []

    @pytest.mark.parametrize(
        ("dark", "said"),
        [
            (
                (LEVELS > 99).astype(np.uint8),
                "no value is above 1 of 255, .* dark: images \\* 255 makes the largest white",
            ),
            (
                (LEVELS > 99).astype(np.int64),
                "no value is above 1 of 255, .* dark: images \\* 255 makes the largest white",
            ),
            (LEVELS // 16, "no value is above 15 of 255, so the images are dark: images / 15 makes the largest white"),
            ((LEVELS > 99) / 255, r"no value is above 0\.00392157 of 1, .* images / 0\.0039215"),
            (
                (LEVELS / 255 * 0.3).astype(np.float32),
                r"no value is above 0\.3 of 1, so the images are dark: images / 0\.3 makes the largest white$",
            ),
            (LEVELS / 255 / 4, r"no value is above 0\.25 of 1, so .* dark: images / 0\.25 makes the largest white"),
        ],
    )
    def test_that_are_dark_are_told(self, save, read, dark, said):
        notes = read(dark)[1]
        assert len([note for note in notes if re.fullmatch(f"train_images, test_images: {said}.*", note)]) == 1
        labels = np.arange(len(dark)) % 2
        bright = self.LEVELS if dark.dtype.kind in "iu" else self.LEVELS / 255
        mixed = save(train_images=bright, train_labels=labels, test_images=dark, test_labels=labels).parts()
        assert [note for note in mixed.notes if re.fullmatch(f"test_images: {said}.*", note)]

    def test_are_white_by_what_is_said_of_dark_ones(self, read):
        ones = (self.LEVELS > 99).astype(np.uint8)
        assert read(ones * 255)[1] == read(self.LEVELS // 16 / 15)[1] == []
        assert read(np.zeros_like(ones))[1] == []

    @pytest.mark.parametrize("kind", [np.float32, np.float64])
    @given(high=st.floats(1e-3, 0.5))
    @settings(max_examples=40, deadline=None)
    def test_are_read_once_they_are_divided_as_is_said(self, kind, high):
        images = np.full((2, 4, 4), high, kind)
        [note] = image_notes(images)
        said = note.rpartition(" / ")[2].split()[0]
        assert len(said.lstrip("0.")) <= 6
        brighter = read_images(images / kind(said), "images")
        assert 0.99998 < float(brighter.max()) <= 1

    def test_of_booleans_are_black_and_white(self, read):
        images, notes = read(self.LEVELS[..., 0] > 99)
        assert torch.equal(images[:, 0], torch.from_numpy((self.LEVELS[..., 0] > 99) * np.uint8(255)))
        assert notes == ["train_images, test_images: booleans are read as black and white"]

    @pytest.mark.parametrize("channels", [1, 3])
    def test_with_channels_first_are_told(self, read, channels):
        first = np.moveaxis(self.LEVELS[..., :channels], 3, 1)
        images, notes = read(first)
        assert torch.equal(images, read(self.LEVELS[..., :channels])[0])
        assert notes == [f"train_images, test_images: shape {first.shape} is read as n × C × H × W"]

    @pytest.mark.parametrize("shape", [(6, 3, 5, 3), (6, 1, 5, 3), (6, 3, 5, 1), (6, 1, 1, 1)])
    def test_of_which_both_axes_could_be_channels_have_them_last(self, read, shape):
        images, notes = read(np.zeros(shape, np.uint8))
        assert images.shape == (6, shape[3], shape[1], shape[2])
        assert notes == []

    @pytest.mark.parametrize(
        ("images", "said"),
        [
            (np.full((6, 5, 4), 4_000, np.uint16), r"from 0 to 255, got uint16 from 4000 to 4000: divide .* 4095$"),
            (np.full((6, 5, 4), 65_000, np.int32), r"got int32 from 65000 to 65000: divide .* images / 65535$"),
            (np.full((6, 5, 4), -3, np.int8), "got int8 from -3 to -3: undo their normalisation"),
            (LEVELS.astype(np.float32), r"values in \[0, 1\], got 0 to 255: divide .* as in images / 255$"),
            (LEVELS.astype(np.float16) * 10, r"\[0, 1\], got 0 to 2550: divide .* as in images / 4095$"),
            (LEVELS / 127.5 - 1, r"got -1 to 1: undo their normalisation \(the model normalises by itself\)"),
            (LEVELS / 255 * 1.02 - 0.01, r"got -0.01 to 1.01: clip them, as in images.clip\(0, 1\)"),
            (np.where(LEVELS == 7, np.nan, 0.5), "got NaN"),
            (np.where(LEVELS == 7, np.inf, 0.5), r"numbers in \[0, 1\], got infinity$"),
            (np.where(LEVELS == 7, -np.inf, 0.5), r"numbers in \[0, 1\], got infinity$"),
            (np.full((6, 5, 4), 1 + 1e-6), r"\[0, 1\], got 1\.000001 to 1\.000001: clip them"),
            (np.full((6, 5, 4), -1e-7), r"\[0, 1\], got -1e-07 to -1e-07: clip them"),
            (np.full((6, 5, 4), 1234567.0), r"as in images / 1234567$"),
            (np.full((6, 5, 4), 1e300), r"\[0, 1\], got 1e\+300 to 1e\+300: divide .* 1e\+300$"),
            (np.zeros((6, 5, 4), np.complex64), "uint8 or floating point in .*, got complex64"),
            (np.full((6, 5, 4), "x"), "uint8 or floating point in .*, got <U1"),
            (np.zeros((6, 5, 4, 4), np.uint8), r"1 or 3 channels on the last axis, or .* got shape \(6, 5, 4, 4\)"),
            (np.zeros((6, 20), np.uint8), r"expected n × H × W, .*, got shape \(6, 20\)"),
            (np.zeros((6, 5, 4, 3, 3), np.uint8), r"got shape \(6, 5, 4, 3, 3\)"),
        ],
    )  # fmt: skip
    def test_are_refused(self, read, images, said):
        with pytest.raises(UserError, match=said) as raised:
            read(images)
        assert "own.npz: train_images: " in str(raised.value)

    def test_of_a_validation_part_are_of_the_others_shape(self, save, source):
        labels, images = labels_of(range(6)), images_of(range(6))
        with pytest.raises(UserError, match=r"shape \(1, 2, 3\), validation images of \(3, 5, 4\)"):
            save(train_images=images, train_labels=labels, test_images=images, test_labels=labels,
                 val_images=self.LEVELS, val_labels=labels).parts()  # fmt: skip


class TestNames:
    @pytest.mark.parametrize(
        ("images", "labels"),
        [
            ("{}_images", "{}_labels"),
            ("x_{}", "y_{}"),
            ("X_{}", "Y_{}"),
            ("{}_x", "{}_y"),
            ("{}X", "{}Y"),
            ("X{}", "y{}"),
            ("{}-image", "{}-label"),
            ("{}_data", "{}_targets"),
            ("imgs.{}", "target.{}"),
        ],
    )
    @pytest.mark.parametrize(
        "words", [("train", "val", "test"), ("training", "validation", "testing"), ("Train", "valid", "TEST")]
    )
    def test_are_understood(self, save, images, labels, words):
        parts = zip(words, (range(12), range(12, 18), range(18, 24)), strict=True)
        named = {word: (images.format(word), labels.format(word), ids) for word, ids in parts}
        parts = save(
            **{name: images_of(ids) for name, _, ids in named.values()},
            **{name: labels_of(ids) for _, name, ids in named.values()},
        ).parts()
        assert parts.there == {"train", "validation", "test"}
        assert shown(parts.train()) == list(range(12))
        assert shown(parts.validation()) == list(range(12, 18))
        assert shown(parts.test()) == list(range(18, 24))

    def test_of_the_contract_need_no_word_and_others_are_told(self, source, save):
        assert source(train=range(9), validation=range(9), test=range(9)).parts().notes == ()
        arrays = {"x_train": images_of(range(9)), "y_train": labels_of(range(9))}
        data = save(**arrays, test_images=images_of(range(9)), test_labels=labels_of(range(9)), ages=np.arange(9))
        assert data.parts().notes == (
            "x_train and y_train are read as the train part",
            "arrays that are not used: ages",
        )

    @pytest.mark.parametrize(("images", "labels"), [("images", "labels"), ("X", "y"), ("data", "target")])
    def test_without_a_part_are_training(self, save, images, labels):
        alone = save(**{images: images_of(range(60)), labels: labels_of(range(60))})
        assert alone.parts().there == {"train", "test"}
        assert sorted(shown(alone.train()) + shown(alone.test())) == list(range(60))
        beside = {"test_images": images_of(range(60, 66)), "test_labels": labels_of(range(60, 66))}
        both = save(**{images: images_of(range(60)), labels: labels_of(range(60))}, **beside)
        assert shown(both.train()) == list(range(60))
        assert shown(both.test()) == list(range(60, 66))

    def test_of_the_contract_come_first(self, save):
        contract = {f"{part}_images": images_of(range(9)) for part in ("train", "test")}
        labels = {f"{part}_labels": labels_of(range(9)) for part in ("train", "test")}
        others = {"x_train": images_of(range(9, 18)), "images": images_of([]), "trainLabels": labels_of([])}
        parts = save(**others, **contract, **labels).parts()
        assert shown(parts.train()) == list(range(9))
        assert parts.notes == ("arrays that are not used: images, trainLabels, x_train",)

    def test_that_are_plainer_come_first(self, save):
        names = {"images": images_of(range(60)), "labels": labels_of(range(60))}
        parts = save(data=np.zeros((60, 6)), target=np.zeros(60), **names).parts()
        assert sorted(shown(parts.train()) + shown(parts.test())) == list(range(60))
        assert "arrays that are not used: data, target" in parts.notes

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            ((), "there is no train_images, train_labels; .* there are: no arrays"),
            (("arr_0", "arr_1"), "expected train_images with .*, or images with labels; there are: arr_0, arr_1"),
            (("test_images", "test_labels"), "there is no train_images"),
            (("x_train",), "there is no train_labels beside x_train; there are: x_train"),
            (("train_images", "train_labels", "test_images"), "there is no test_labels beside test_images"),
            (("train_images", "train_labels", "val_labels"), "there is no validation_images beside val_labels"),
            (("restraint_images", "labels"), "there is no train_images beside labels"),
        ],
    )
    def test_that_are_not_enough_are_refused(self, save, names, said):
        with pytest.raises(UserError, match=said):
            save(**{name: images_of(range(9)) for name in names}).train()


class TestDrawnTest:
    def test_follows_from_each_images_content_alone(self, source):
        data = source(train=range(200))
        train, test = shown(data.train()), shown(data.test())
        by_hand = [i for i in range(200) if hashed_share(content_digest(images_of([i])[0].tobytes())) < 0.2]
        assert test == by_hand
        assert train == [i for i in range(200) if i not in by_hand]
        assert f"{len(test)} of 200 images are the test, drawn by a hash of each one's content" in data.parts().notes

    def test_stays_when_images_come_and_go_and_turn_around(self, source):
        before = {part: set(shown(getattr(source(train=range(200)), part)())) for part in ("train", "test")}
        after = source(train=[*range(400, 180, -1), *range(50)])
        assert before["train"].isdisjoint(shown(after.test()))
        assert before["test"].isdisjoint(shown(after.train()))

    def test_has_all_copies_of_an_image_or_none(self, source):
        data = source(train=[*range(50), *range(50)])
        assert set(shown(data.train())).isdisjoint(shown(data.test()))

    def test_is_the_same_for_what_is_the_same_image(self, save):
        images, labels = np.random.default_rng(0).random((60, 4, 4), np.float32), labels_of(range(60))
        images[::2, 0, 0] = 0.0
        one = save(images=images, labels=labels).test().images
        images[::2, 0, 0] = -0.0
        assert torch.equal(save(images=images.astype(np.float64)[:, None], labels=labels).test().images, one)

    def test_grows_with_its_share(self, source):
        tests = [
            set(shown(Arrays(dir=source(train=range(300)).dir, test_fraction=share).test()))
            for share in (0.1, 0.2, 0.5)
        ]
        assert tests[0] < tests[1] < tests[2]
        assert len(tests[2]) == pytest.approx(150, abs=30)

    def test_leaves_the_validation_part_as_it_is(self, source):
        parts = replace(source(train=range(60), val=range(60, 70)), validation="held-out").parts()
        assert shown(parts.validation()) == list(range(60, 70))
        assert sorted(shown(parts.train()) + shown(parts.test())) == list(range(60))

    def test_is_the_validation_part_where_that_is_said(self, source):
        parts = replace(source(train=range(60), val=range(60, 70)), validation="test").parts()
        assert (parts.there, parts.notes) == ({"train", "test"}, ())
        assert (shown(parts.train()), shown(parts.test())) == (list(range(60)), list(range(60, 70)))

    def test_beside_a_validation_part_is_asked_for(self, source):
        own = source(train=range(60), val=range(60, 70))
        with pytest.raises(UserError) as error:
            own.parts()
        ways = "`data.validation` test tests on the validation part, `data.validation` held-out draws a test from the"
        said = f"{own.dir}: there are parts for training and validation, and none for the test: {ways} training part"
        assert str(error.value) == said
        with pytest.raises(UserError, match="`data.validation` test, but there is a test part, too"):
            replace(source(train=range(9), val=range(9, 18), test=range(18, 27)), validation="test").parts()
        assert source(train=range(9), val=range(9, 18), test=range(18, 27)).parts().there == {*PARTS}

    def test_is_refused_where_it_would_take_a_whole_class(self, source):
        tested = next(i for i in range(1, 999, 3) if hashed_share(content_digest(images_of([i])[0].tobytes())) < 0.2)
        others = [i for i in range(90) if i % CLASSES != 1]
        with pytest.raises(UserError, match=r"no training image in class 1: `data.test_fraction` 0.2 draws .*smaller"):
            source(train=[*others, tested]).parts()
        chosen = Arrays(dir=source(train=[*others, tested]).dir, classes=(0, 2))
        assert chosen.train().class_names == ("0", "2")

    @pytest.mark.parametrize("ids", [[0] * 9, [0, 1, 2] * 5])
    def test_is_refused_where_the_images_of_a_class_are_all_alike(self, save, ids):
        own = save(images=images_of(ids), labels=np.arange(len(ids)) % 2 if len({*ids}) == 1 else labels_of(ids))
        with pytest.raises(UserError, match="no test can be drawn, as all images of a class are alike") as error:
            own.parts()
        assert "fraction" not in str(error.value)

    def test_is_refused_where_it_would_be_empty(self, source):
        trained = [i for i in range(60) if hashed_share(content_digest(images_of([i])[0].tobytes())) >= 0.2]
        with pytest.raises(UserError, match=r"no image is in the test: .* a larger one may help, or test images in"):
            source(train=trained).parts()

    def test_says_which_class_it_lacks(self, source):
        lacking = [
            i for i in range(60) if hashed_share(content_digest(images_of([i])[0].tobytes())) >= 0.2 or i % 3 != 1
        ]
        said = "no test image in class 1: its accuracy cannot be measured"
        assert said in source(train=lacking).parts().notes
        assert source(train=range(9), test=[0, 2, 3, 5]).parts().notes == (said,)

    @pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
    def test_of_no_share_is_refused(self, share):
        with refusing("data.test_fraction", share):
            Arrays(test_fraction=share)

    def test_changes_no_id_of_version_0_1(self):
        old = {"name": "arrays", "classes": [], "dir": "own.npz"}
        plain = Config().to_plain()
        assert (
            Config.from_plain({**plain, "data": old}).id
            == Config.from_plain({**plain, "data": {**old, "test_fraction": 0.2}}).id
        )
        other = Config.from_plain({**plain, "data": {**old, "test_fraction": 0.3}})
        assert other.id != Config.from_plain({**plain, "data": old}).id


def through_json(record, folder):
    """Return a record as it comes back from a run's folder."""
    (folder / "split.json").write_text(record.to_json())
    return Record.read(folder / "split.json")


class TestRecord:
    def test_names_images_by_their_contents(self, source):
        record = source(train=[1, 5, 1, 1, 3], val=[6], test=[2, 1]).parts().record()
        digests = {i: content_digest(images_of([i])[0].tobytes()) for i in (1, 2, 3, 5, 6)}
        one = digests[1]
        copies = {one: one, f"{one}-2": one, f"{one}-3": one}
        assert record.parts["train"] == {**copies, digests[5]: digests[5], digests[3]: digests[3]}
        assert record.parts["validation"] == {digests[6]: digests[6]}
        assert record.parts["test"] == {digests[2]: digests[2], one: one}
        assert record.labels == {"train": (1, 2, 1, 1, 0), "validation": (0,), "test": (2, 1)}
        assert record.class_names == ("0", "1", "2")
        assert record.images == {}

    def test_brings_back_the_very_images_in_their_order(self, source, tmp_path):
        record = through_json(source(train=[4, 1, 2, 3], val=[8, 9], test=[7, 6, 5]).parts().record(), tmp_path)
        parts = source(train=[11, 3, 2, 1, 4], val=[9, 12, 8], test=[5, 6, 7]).parts(record)
        assert shown(parts.train()) == [4, 1, 2, 3]
        assert shown(parts.validation()) == [8, 9]
        assert shown(parts.test()) == [7, 6, 5]
        assert not any(parts.missing.values())
        assert parts.notes == ("2 images are new since this run began: neither trained on nor tested on",)
        assert sorted(shown(parts.unrecorded())) == [11, 12]

    def test_trains_on_what_is_among_the_test_arrays_now_and_does_not_test_on_it(self, source):
        record = source(train=[1, 2, 3], test=[4, 5, 6]).parts().record()
        parts = source(train=[2, 6, 10], test=[1, 3, 4, 5]).parts(record)
        assert shown(parts.train()) == [1, 2, 3]
        assert shown(parts.test()) == [4, 5, 6]

    def test_says_what_is_gone(self, source):
        record = source(train=range(9), test=range(9, 49)).parts().record()
        parts = source(train=range(1, 9), test=range(9, 46)).parts(record)
        assert [len(parts.missing[part]) for part in ("train", "test")] == [1, 3]
        assert parts.notes == (
            "1 of 9 training images that this run recorded is gone",
            "3 of 40 test images that this run recorded are gone",
        )
        assert shown(parts.test()) == list(range(9, 46))
        with pytest.raises(UserError, match=content_digest(images_of([0])[0].tobytes())):
            require_whole(parts)
        with pytest.raises(UserError, match="no image of a known class is new"):
            parts.unrecorded()

    def test_says_that_all_are_gone_where_they_are_asked_for(self, source):
        record = source(train=range(9), test=range(9, 12)).parts().record()
        parts = source(train=range(9)).parts(record)
        assert shown(parts.train()) == list(range(9))
        with pytest.raises(UserError, match="test images is left; it holds 9 others, 2 × 3 × 1"):
            parts.test()

    def test_leaves_out_what_has_another_label_now(self, save):
        images, labels = images_of(range(12)), labels_of(range(12))
        arrays = {"train_images": images[:6], "train_labels": labels[:6], "test_images": images[6:]}
        record = save(**arrays, test_labels=labels[6:]).parts().record()
        parts = save(**arrays, test_labels=[1, *labels[7:]]).parts(record)
        assert shown(parts.test()) == list(range(7, 12))
        assert parts.notes == ("1 of 6 test images that this run recorded now has another label, and is left out",)

    def test_leaves_out_further_copies(self, source):
        record = source(train=range(6), test=range(6, 12)).parts().record()
        parts = source(train=[*range(6), 7, 7], test=[*range(6, 12), 1]).parts(record)
        assert (shown(parts.train()), shown(parts.test())) == (list(range(6)), list(range(6, 12)))
        assert parts.notes == ("3 more copies of recorded images are left out",)

    @pytest.mark.parametrize("first", ["bytes", "float32"])
    @pytest.mark.parametrize("then", ["bytes", "float16", "float32", "float64", "channels first", "int64"])
    def test_an_image_saved_as_other_numbers_is_not_new(self, save, tmp_path, first, then):
        images, labels = np.random.default_rng(0).integers(0, 256, (20, 5, 4, 3), np.uint8), labels_of(range(20))
        record = (
            save(
                train_images=stored(images[:8], first),
                train_labels=labels[:8],
                test_images=stored(images[8:14], first),
                test_labels=labels[8:14],
            )
            .parts()
            .record()
        )
        (tmp_path / "split.json").write_text(record.to_json())
        record = Record.read(tmp_path / "split.json")
        again = stored(images, then)
        parts = save(train_images=again[:8], train_labels=labels[:8], test_images=again[8:], test_labels=labels[8:])
        parts = parts.parts(record)
        assert parts.unrecorded().labels.tolist() == labels[14:].tolist()
        assert any(note.startswith("6 images are new since this run began") for note in parts.notes)
        lost = sum(map(len, parts.missing.values()))
        resaved = [note for note in parts.notes if note.startswith("14 images have the pixels of recorded ones")]
        assert (lost, len(resaved)) in ((0, 0), (14, 1))

    def test_without_pixels_cannot_tell_new_images_where_some_are_gone(self, source):
        """As runs recorded their images before they recorded pixels."""
        record = replace(source(train=range(6), test=range(6, 12)).parts().record(), pixels={})
        assert shown(source(train=range(6), test=range(6, 13)).parts(record).unrecorded()) == [12]
        parts = source(train=range(5), test=range(6, 13)).parts(record)
        with pytest.raises(UserError, match="1 recorded image is gone, and this run did not record pixels"):
            parts.unrecorded()

    def test_keeps_the_names_and_the_number_of_classes(self, save):
        images = images_of(range(30))
        names = {"class_names": np.array(["a", "b", "c"])}
        test = {"test_images": images[:6], "test_labels": labels_of(range(6))}
        record = save(train_images=images[6:12], train_labels=labels_of(range(6, 12)), **test, **names).parts().record()
        more = {"class_names": np.array(["A", "B", "C", "D"])}
        parts = save(
            train_images=images[6:], train_labels=[*labels_of(range(6, 12)), *[3] * 17, 0], **test, **more
        ).parts(record)
        assert parts.train().class_names == parts.test().class_names == ("a", "b", "c")
        assert parts.notes[-1].startswith("18 images are new")
        assert parts.unrecorded().labels.tolist() == [0]

    def test_mixes_no_levels_with_values(self, save):
        levels, labels = np.random.default_rng(0).integers(0, 256, (12, 2, 2), np.uint8), np.arange(12) % 2

        def saved(**parts):
            arrays = {f"{part}_images": images for part, (images, _) in parts.items()}
            return save(**arrays, **{f"{part}_labels": labels[rows] for part, (_, rows) in parts.items()})

        first = saved(train=(levels[:6], range(6)), test=(levels[6:] / 255, range(6, 12))).parts()
        train, test, record = first.train().images, first.test().images, first.record()
        half, others = [0, 4, 5], [1, 2, 3]
        moved = saved(
            train=(levels[others], others), test=(levels[half], half), val=(levels[6:] / 255, range(6, 12))
        ).parts(record)
        assert torch.equal(moved.train().images, train)
        assert torch.equal(moved.test().images, test)
        more = saved(train=(255 - levels[others], others), test=(1 - levels[half] / 255, half)).parts(record)
        new = 1 - torch.cat((train[others], train[half])) / 255
        assert torch.allclose(more.unrecorded().images, new, atol=1e-6)
        other_bytes = saved(train=(levels[others], others), test=(levels[half] / 255, half)).parts(record)
        assert len(other_bytes.missing["train"]) == 3

    def test_of_a_run_of_version_0_1_reads_the_file_as_that_did(self, source):
        data = source(train=range(6), val=range(6, 9), test=range(9, 15))
        assert data.parts().there == {"train", "validation", "test"}
        parts = data.parts(Record())
        assert parts.there == {"train", "test"}
        assert shown(parts.train()) == list(range(6))
        with pytest.raises(UserError, match="there are no new images"):
            parts.unrecorded()

    def test_of_a_run_of_version_0_1_minds_no_other_array(self, save):
        arrays = {f"{part}_{kind}": make(range(9)) for part in ("train", "test") for kind, make in MAKERS.items()}
        data = save(**arrays, val_images=np.zeros(3), x_test=np.zeros(3))
        assert shown(data.parts(Record()).test()) == list(range(9))
        with pytest.raises(UserError, match="there is no validation_labels beside val_images"):
            data.parts()

    def test_hashes_nothing_where_nothing_asks_for_it(self, source, monkeypatch):
        def refuse(*_):
            raise AssertionError

        monkeypatch.setattr("srat.data.array_file.rows.content_digest", refuse)
        parts = source(train=range(6), val=range(6, 9), test=range(9, 15)).parts()
        assert shown(parts.train()) == list(range(6))
        with pytest.raises(AssertionError):
            parts.record()


START = st.lists(st.integers(0, 40), min_size=9, max_size=30)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "move", "turn"]),
        st.sampled_from(["train", "val", "test"]),
        st.integers(0, 60),
        st.sampled_from(["train", "val", "test"]),
    ),
    max_size=12,
)


def changed(parts, changes):
    """Return the numbers in each part after rows were added, removed, moved to another part, and turned around."""
    parts = {part: list(ids) for part, ids in parts.items()}
    for kind, part, number, other in changes:
        rows = parts.setdefault(part, [])
        if kind == "add":
            rows.insert(number % (len(rows) + 1), number)
        elif kind == "turn":
            rows.reverse()
        elif rows:
            row = rows.pop(number % len(rows))
            if kind == "move":
                parts.setdefault(other, []).insert(0, row)
    return {part: ids for part, ids in parts.items() if ids or part == "train"}


@given(ids=START, cuts=st.tuples(st.integers(0, 5), st.integers(0, 5)), own_test=st.booleans(), changes=CHANGES)
@settings(max_examples=60, deadline=None)
def test_whatever_becomes_of_the_file_no_image_that_was_trained_on_is_tested_on(
    tmp_path_factory, ids, cuts, own_test, changes
):
    folder = tmp_path_factory.getbasetemp() / "property"
    folder.mkdir(exist_ok=True)

    def saved(parts):
        arrays = {f"{part}_images": images_of(ids) for part, ids in parts.items()}
        np.savez(folder / "own.npz", **arrays, **{f"{part}_labels": labels_of(ids) for part, ids in parts.items()})
        return Arrays(dir=folder / "own.npz", test_fraction=0.5)

    start = {"train": [*ids, 0, 1, 2, 3, 4, 5], "val": [100 + i for i in range(cuts[0])]}
    start |= {"test": [200 + i for i in range(cuts[1] + 1)]} if own_test else {}
    try:
        record = through_json(saved({part: rows for part, rows in start.items() if rows}).parts().record(), folder)
    except UserError:  # the draw would take a whole class
        return
    began = {
        part: shown(saved({p: rows for p, rows in start.items() if rows}).parts().read(part)) for part in record.parts
    }
    assert set(began["train"]).isdisjoint(began["test"])

    now = changed(start, changes)
    parts = saved(now).parts(record)
    left = Counter(itertools.chain.from_iterable(now.values()))
    for part in ("train", "validation", "test"):
        if part not in began:
            assert part not in parts.there
            continue
        expected = []
        for number in began[part]:
            if left[number]:
                left[number] -= 1
                expected.append(number)
        assert len(parts.missing[part]) == len(began[part]) - len(expected)
        if not expected:
            continue
        there = shown(parts.read(part))
        assert there == expected
        if part == "test":
            assert set(there).isdisjoint(began["train"])
    known = set(itertools.chain.from_iterable(began.values()))
    new = sorted(number for number, times in left.items() if number not in known for _ in range(times))
    if new:
        assert sorted(shown(parts.unrecorded())) == new


class TestConstantImages:
    """They show nothing, in whichever part they are."""

    @pytest.fixture
    def flat(self, save):
        """Save six images of each of two classes in each part; class 1 of one part has one colour."""

        def flat(part):
            rng, labels = np.random.default_rng(0), np.arange(12) % 2
            images = {each: rng.integers(0, 256, (12, 4, 4), dtype=np.uint8) for each in ("train", "val", "test")}
            images[part][labels == 1] = 7
            images = {f"{each}_images": some for each, some in images.items()}
            return save(**images, **{f"{each}_labels": labels for each in ("train", "val", "test")}).dir

        return flat

    @pytest.mark.parametrize(("part", "called"), [("train", "training"), ("val", "validation"), ("test", "test")])
    def test_are_said_by_data(self, flat, cli, part, called):
        out = cli("data", "arrays", "--data-dir", flat(part))[1]
        assert f"6 of 12 {called} images have one colour in all pixels (1: 6)\n" in out
        assert f"every {called} image of class 1 has one colour in all pixels\n" in out
        assert out.count("one colour") == 2

    @pytest.mark.parametrize(("part", "called"), [("train", "training"), ("test", "test")])
    def test_are_said_by_train(self, flat, cli, part, called):
        quick = ("--model", "linear", "--method", "natural", "--epochs", 1, "--evaluation.steps", 1, "--device", "cpu")
        code, out, _ = cli("train", "--data", "arrays", "--data-dir", flat(part), *quick)
        assert code == 0
        assert f"every {called} image of class 1 has one colour in all pixels" in out
        assert out.count("every") == 1


def test_many_classes_without_a_test_image_are_named_in_part(save):
    labels = np.arange(24) % 8
    data = save(
        train_images=images_of(range(24)), train_labels=labels, test_images=images_of([30]), test_labels=np.array([0])
    )
    assert "no test image in class 1, 2, 3, … (7 classes): its accuracy cannot be measured" in data.parts().notes


class TestRun:
    """Around a run: what it keeps, and what comes of it."""

    @pytest.fixture
    def run(self, source, tmp_path):
        source(train=range(60), val=range(100, 112), test=range(200, 221))
        config = srat.compose(
            data="arrays", data_dir=tmp_path / "own.npz", model="linear", method="natural", epochs=1, batch_size=16
        )
        srat.fit(config, out=tmp_path / "run", device="cpu")
        return config, tmp_path / "run"

    def test_keeps_its_split_and_finds_it_in_a_file_that_has_changed(self, run, source):
        config, folder = run
        record = Record.read(folder / "split.json")
        assert [len(record.parts[part]) for part in ("train", "validation", "test")] == [60, 12, 21]
        source(train=[*range(300, 320), *reversed(range(60))], val=range(111, 99, -1), test=[5, *range(200, 221), 7])
        data = prepare(config.data.parts(record), config.imbalance, config.holdout, seed=0)
        held = json.loads((folder / "indices.json").read_text())
        assert hash_contents(data.train, data.held_out) == held["contents"]
        assert {**data.record(), "split": True} == held

    def test_is_evaluated_on_the_images_that_it_began_with(self, run, source, tmp_path, capsys):
        _, folder = run
        assert main(["evaluate", str(folder), "--attack", "natural", "--device", "cpu"]) == 0
        before = json.loads((folder / "evaluation.json").read_text())["results"]["clean"]
        source(train=[*range(60), *range(200, 203)], val=range(100, 112), test=[*range(220, 202, -1), *range(30)])
        assert main(["evaluate", str(folder), "--attack", "natural", "--device", "cpu", "--anew"]) == 0
        assert json.loads((folder / "evaluation.json").read_text())["results"]["clean"] == before

    def test_is_looked_at_with_all_parts(self, run, tmp_path, capsys):
        assert main(["data", "arrays", "--data-dir", str(tmp_path / "own.npz")]) == 0
        said = capsys.readouterr().out
        assert "60 of 60 training images, 2 × 3 × 1" in said
        assert "12 validation images, 4 per class" in said
        assert "21 test images, 7 per class" in said

"""The ways in which people arrange images, each against what its makers mean by it."""

import re
import unicodedata
from collections import Counter

import pytest
from folders import classes, counts, encoded, put, refused, table

from srat.data.image_folder.naming import in_order, part_of
from srat.data.record import Record
from srat.data.sources.folder import Folder


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *((name, "train") for name in ("train", "Train", "TRAIN", "training", "train_set", "TrainImages", "train2017")),
        *(
            (name, "train")
            for name in ("trainset", "traindata", "trainingImages", "imgtrain", "TRAINSET", "trainset_2")
        ),
        *((name, "test") for name in ("testset", "testdata", "testimages", "seg_testset", "test_photos")),
        *((name, "validation") for name in ("valset", "devdata", "validimages")),
        *((name, "validation") for name in ("val", "valid", "Validation", "dev", "val_images", "validation-set")),
        *((name, "test") for name in ("test", "Testing", "seg_test", "test data", "images_test", "TEST")),
        *((name, None) for name in ("trainer", "train station", "contest", "seg_pred", "1", "ant", "", "valley")),
        *((name, None) for name in ("trainval", "testament", "dataset", "traintest", "trainsetter", "train_labels")),
    ],
)
def test_names_of_parts(name, part):
    assert part_of(name) == part


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("Train", "Test"), ("training", "testing"), ("seg_train/seg_train", "seg_test/seg_test")],
)
def test_parts_by_their_usual_names(tmp_path, train, test):
    classes(tmp_path / train, "ant", "bee", n=3)
    classes(tmp_path / test, "ant", "bee", n=2)
    assert counts(tmp_path) == {"train": {"ant": 3, "bee": 3}, "test": {"ant": 2, "bee": 2}}


def test_what_lies_beside_the_parts_is_named_and_is_no_class(tmp_path):
    classes(tmp_path / "seg_train", "ant", "bee", n=3)
    classes(tmp_path / "seg_test", "ant", "bee", n=2)
    for i in range(4):
        put(tmp_path / "seg_pred" / f"{i}.png")
    put(tmp_path / "loose.png")
    found = Folder(dir=tmp_path).found(tmp_path)
    assert found.class_names == ("ant", "bee")
    assert Counter(each.why for each in found.passed) == {"in seg_pred, beside the parts": 4, "beside the parts": 1}


def test_a_second_copy_of_the_parts_is_said_to_lie_beside_them(tmp_path):
    for around in ("", "ds"):
        for part in ("train", "test"):
            classes(tmp_path / around / part, "ant", "bee", n=3)
    found = Folder(dir=tmp_path).found(tmp_path)
    assert len(found.paths) == 12
    assert [each.why for each in found.passed] == ["in ds, beside the parts"] * 12


class TestValidation:
    @pytest.fixture
    def three(self, tmp_path):
        for part, n in (("train", 5), ("val", 2), ("test", 3)):
            classes(tmp_path / part, "ant", "bee", n=n)
        return tmp_path

    def test_is_a_part_of_its_own(self, three):
        parts = Folder(dir=three).parts()
        assert [parts.train().counts, parts.validation().counts, parts.test().counts] == [(5, 5), (2, 2), (3, 3)]

    def test_may_lack_a_class_but_has_no_other(self, three):
        for path in (three / "val" / "bee").iterdir():
            path.unlink()
        (three / "val" / "bee").rmdir()
        assert Folder(dir=three).parts().validation().counts == (2, 0)
        classes(three / "val", "cat", n=1)
        refused(three, r"the same classes in train and validation; .*'cat' \(validation\)")

    def test_without_a_test_is_asked_about(self, tmp_path):
        classes(tmp_path / "train", "ant", "bee", n=20)
        classes(tmp_path / "val", "ant", "bee", n=3)
        refused(tmp_path, "`data.validation` test tests on the validation part, `data.validation` held-out draws")
        assert counts(tmp_path, validation="test") == {"train": {"ant": 20, "bee": 20}, "test": {"ant": 3, "bee": 3}}
        drawn = counts(tmp_path, validation="held-out")
        assert drawn["validation"] == {"ant": 3, "bee": 3}
        assert sum(drawn["train"].values()) + sum(drawn["test"].values()) == 40
        assert sum(drawn["test"].values()) > 0

    def test_as_a_test_beside_a_test_is_refused(self, three):
        refused(three, "there is a test part, too", validation="test")


class TestDeeper:
    @pytest.mark.parametrize("where", ["images", "archive/dataset", "train"])
    def test_one_folder_in_the_way_is_passed_through_and_said(self, tmp_path, where):
        classes(tmp_path / where, "ant", "bee")
        found = Folder(dir=tmp_path).found(tmp_path)
        assert found.class_names == ("ant", "bee")
        assert f"the classes are those of {tmp_path / where}" in found.notes

    def test_files_beside_it_are_named(self, tmp_path):
        classes(tmp_path / "archive", "ant", "bee")
        put(tmp_path / "README.md", b"words")
        put(tmp_path / "labels" / "a.xml", b"<a/>")
        found = Folder(dir=tmp_path).found(tmp_path)
        assert found.class_names == ("ant", "bee")
        assert sorted(each.why for each in found.passed) == ["not an image (.md)", "not an image (.xml)"]

    def test_an_empty_folder_beside_it_may_be_a_class(self, tmp_path):
        classes(tmp_path / "ant", "red", "black")
        (tmp_path / "bee").mkdir()
        refused(tmp_path, "no image in class bee")

    @pytest.mark.parametrize("name", ["photo.dng", "old.jpg"])
    def test_a_folder_of_what_cannot_be_read_may_be_a_class(self, tmp_path, name):
        classes(tmp_path / "cat", "indoor", "outdoor")
        (tmp_path / "dog").mkdir()
        if name.endswith("dng"):
            put(tmp_path / "dog" / name)
        else:
            (tmp_path / "dog" / name).symlink_to("nowhere")
        refused(tmp_path, r"no image in class dog \(there are: (camera raw|dangling link)")

    @pytest.mark.parametrize("name", ["a.zip", "a.mp4", "a.xlsx", "a.xml", "a.txt"])
    def test_a_folder_of_other_files_beside_it_is_no_class(self, tmp_path, name):
        classes(tmp_path / "images", "cat", "dog")
        put(tmp_path / "annotations" / name, b"x")
        found = Folder(dir=tmp_path).found(tmp_path)
        assert found.class_names == ("cat", "dog")
        assert [each.path.name for each in found.passed] == [name]


BIRDS = ("extra/bird",)
NESTED = {
    "raw": ("raw/cat", "raw/dog", *BIRDS),
    "animal": ("animal/cat", "animal/dog", "plant/rose"),
    "ant": ("ant/red", "ant/black", "bee"),
    "deep": ("deep/photos/cat", "deep/photos/dog", *BIRDS),
    "numbers": ("numbers/0", "numbers/1", *BIRDS),
    "ages": ("ages/0-10", "ages/10-20", *BIRDS),
    "makes": ("makes/class1", "makes/class2", *BIRDS),
}


class TestFoldersWithinClasses:
    @pytest.mark.parametrize("name", NESTED)
    @pytest.mark.parametrize("loose", [0, 1])
    def test_that_may_be_the_classes_are_asked_about(self, tmp_path, name, loose):
        for path in NESTED[name]:
            classes(tmp_path / path, "images", n=10)
        for i in range(loose):
            put(tmp_path / name / ("photos" if name == "deep" else "") / f"{i}.png")
        said = (
            f"{name} holds several folders of images .*, which may be the classes: .*, or `data.layout` classes takes"
        )
        refused(tmp_path, said)
        expected = {path.split("/")[0] for path in NESTED[name]}
        assert set(counts(tmp_path, layout="classes")["train"]) == expected

    def test_within_parts_are_asked_about(self, tmp_path):
        for part in ("train", "test"):
            for path in NESTED["raw"]:
                classes(tmp_path / part / path, "images", n=5)
        refused(tmp_path, "`data.layout` parts takes extra, raw as the classes")
        assert counts(tmp_path, layout="parts") == {part: {"extra": 5, "raw": 10} for part in ("train", "test")}

    @pytest.mark.parametrize(
        "below",
        [
            *(("2020", "2021"), ("2021-05-01", "2021-06-03"), ("20210501", "20210603"), ("1.5.2021", "3.6.2021")),
            *(("track_1", "track_2"), ("set1", "set2"), ("Session 1", "Session 12"), ("images",)),
        ],
    )
    @pytest.mark.parametrize("flat", [False, True])
    def test_that_say_when_they_were_taken_are_of_the_class_and_said(self, tmp_path, below, flat):
        classes(tmp_path / "ant", *below, n=20 // len(below))
        classes(tmp_path, "bee", n=20) if flat else classes(tmp_path / "bee", *below, n=20 // len(below))
        found = Folder(dir=tmp_path).found(tmp_path)
        assert Counter(found.classes.values()) == {"ant": 20, "bee": 20}
        assert any(
            note.startswith(f"the folders below a class are read as part of it: ant/{below[0]}") for note in found.notes
        )

    def test_are_of_the_class_in_runs_of_version_0_1(self, tmp_path):
        """Those recorded nothing of folders train and test, and read every image below a class folder."""
        for part in ("train", "test"):
            for path in NESTED["raw"]:
                classes(tmp_path / part / path, "images", n=5)
        parts = Folder(dir=tmp_path).parts(Record())
        assert (parts.train().class_names, parts.train().counts, parts.test().counts) == (
            ("extra", "raw"),
            (5, 10),
            (5, 10),
        )

    def test_beside_more_images_of_the_class_are_of_it(self, tmp_path):
        classes(tmp_path, "ant", "bee", n=20)
        classes(tmp_path / "ant", "old", "odd", n=5)
        found = Folder(dir=tmp_path).found(tmp_path)
        assert Counter(found.classes.values()) == {"ant": 30, "bee": 20}


class TestClassesThatAreCalledLikeParts:
    def test_are_classes_where_images_lie_in_them_as_in_the_others(self, tmp_path):
        classes(tmp_path, "train", "bus", "car")
        assert set(counts(tmp_path)["train"]) == {"train", "bus", "car"}

    def test_are_asked_about_where_it_cannot_be_told(self, tmp_path):
        classes(tmp_path / "train", "steam", "diesel")
        classes(tmp_path, "bus", "car")
        refused(tmp_path, "train may be a part of the data, or a class beside the others; `data.layout` parts or")
        assert set(counts(tmp_path, layout="classes")["train"]) == {"train", "bus", "car"}
        assert set(counts(tmp_path, layout="parts")["train"]) == {"steam", "diesel"}

    def test_without_a_training_part_too(self, tmp_path):
        classes(tmp_path / "test", "a", "b")
        classes(tmp_path, "bus")
        refused(tmp_path, "test may be a part")

    def test_images_without_classes_are_no_classes(self, tmp_path):
        for part in ("train", "test"):
            for i in range(3):
                put(tmp_path / part / f"{i}.png")
        refused(tmp_path, "the images in test, train are neither in one folder per class nor in a table")

    def test_a_test_without_classes_is_named(self, tmp_path):
        classes(tmp_path / "train", "ant", "bee")
        put(tmp_path / "test" / "1.png")
        found = Folder(dir=tmp_path).found(tmp_path)
        assert [each.why for each in found.passed] == ["in test, where nothing says the classes"]
        assert not found.own_test

    @pytest.mark.parametrize("names", [("trainA", "testA", "trainB", "testB"), ("test tubes", "training shoes")])
    def test_that_speak_of_several_parts_are_asked_about(self, tmp_path, names):
        classes(tmp_path, *names)
        refused(tmp_path, "may be parts of the data; `data.layout` classes takes them as classes")
        assert set(counts(tmp_path, layout="classes")["train"]) == set(names)

    def test_that_hold_the_same_folders_are_asked_about(self, tmp_path):
        for domain in ("amazon", "dslr", "webcam"):
            classes(tmp_path / domain, "bike", "mug")
        refused(tmp_path, r"hold the same folders \(bike, mug\): name one of them with `data.dir`")
        assert set(counts(tmp_path, layout="classes")["train"]) == {"amazon", "dslr", "webcam"}

    def test_two_folders_of_one_part_are_refused(self, tmp_path):
        for part in ("train", "Training", "test"):
            classes(tmp_path / part, "ant", "bee", n=2)
        refused(tmp_path, "several folders of one part")

    @pytest.mark.parametrize("more", ["", "ant/loose.png", "bee/photos/2.png", "cat/1.png"])
    @pytest.mark.parametrize("parts", [("train", "test"), ("testset",), ("deeper/train", "deeper/val")])
    def test_parts_within_classes_are_refused(self, tmp_path, more, parts):
        for name in ("ant", "bee"):
            for part in parts:
                for i in range(10):
                    put(tmp_path / name / part / f"{i}.png")
        if more:
            put(tmp_path / more)
        refused(
            tmp_path, r"the parts lie within the classes \(ant/.*\); put the classes within the parts, as in train/ant"
        )
        assert {"ant", "bee"} <= {*Folder(dir=tmp_path, layout="classes").found(tmp_path).class_names}

    def test_parts_within_one_class_are_refused(self, tmp_path):
        classes(tmp_path, "bee")
        classes(tmp_path / "ant", "train", "test")
        refused(tmp_path, r"the parts lie within the classes \(ant/test, ant/train\)")


class TestTables:
    @pytest.mark.parametrize(
        "rows",
        [
            ("file_name,label", "a.png,x", "b.png,y", "c.png,x"),
            ("image_id,dx", "a,x", "b,y", "c,x"),
            ("Filename;Class", "images/a.png;x", "images/b.png;y", "images/c.png;x"),
            ("id,unused,breed", "a,1,x", "b,2,y", "c,3,x"),
            ("\ufeffpath,ClassId", "images/a.png,x", "images\\b.png,y", "c.png,x"),
        ],
    )
    def test_name_files_and_classes_in_many_ways(self, tmp_path, rows):
        for name in "abc":
            put(tmp_path / "images" / f"{name}.png")
        table(tmp_path / "labels.csv", *rows)
        found = counts(tmp_path)
        assert {name: sum(each[name] for each in found.values()) for name in "xy"} == {"x": 2, "y": 1}

    def test_with_tabs(self, tmp_path):
        for name in "abc":
            put(tmp_path / f"{name}.png")
        table(tmp_path / "labels.tsv", "file\tlabel", "a.png\tx, y", "b.png\tz", "c.png\tz")
        assert set(counts(tmp_path)["train"]) == {"x, y", "z"}

    def test_called_like_parts_are_parts(self, tmp_path):
        for name in "abcd":
            put(tmp_path / "photos" / f"{name}.png")
        table(tmp_path / "train.csv", "image,label", "a.png,x", "b.png,y")
        table(tmp_path / "test.csv", "image,label", "c.png,x", "d.png,y")
        assert counts(tmp_path) == {"train": {"x": 1, "y": 1}, "test": {"x": 1, "y": 1}}

    def test_of_kaggle_with_an_unlabelled_test(self, tmp_path):
        for name in "abcdefghij":
            put(tmp_path / "train" / f"{name}.png")
        put(tmp_path / "test" / "z.png")
        table(tmp_path / "train.csv", "id,breed", *(f"{name},{'xy'[i % 2]}" for i, name in enumerate("abcdefghij")))
        table(tmp_path / "sample_submission.csv", "id,breed", "z,x")
        found = Folder(dir=tmp_path).found(tmp_path)
        assert sum(map(len, found.parts.values())) == 10
        assert {str(each.path.relative_to(tmp_path)): each.why for each in found.passed} == {
            "test/z.png": "not in train.csv",
            "sample_submission.csv": "form for predictions, going by its name",
        }

    def test_of_hugging_face_lie_in_each_part(self, tmp_path):
        for part, names in (("train", "abcd"), ("test", "ef")):
            for name in names:
                put(tmp_path / part / f"{name}.png")
            rows = (f"{name}.png,{'xy'[i % 2]}" for i, name in enumerate(names))
            table(tmp_path / part / "metadata.csv", "file_name,label", *rows)
        assert counts(tmp_path) == {"train": {"x": 2, "y": 2}, "test": {"x": 1, "y": 1}}

    def test_with_a_column_of_parts(self, tmp_path):
        for name in "abcd":
            put(tmp_path / f"{name}.png")
        rows = ("a.png,x,train", "b.png,y,TRAIN", "c.png,x,test", "d.png,y,test")
        table(tmp_path / "labels.csv", "file,label,split", *rows)
        assert counts(tmp_path) == {"train": {"x": 1, "y": 1}, "test": {"x": 1, "y": 1}}

    def test_with_columns_that_are_named(self, tmp_path):
        for name in "abcd":
            put(tmp_path / f"{name}.png")
        table(tmp_path / "t.csv", "was,kind", "a.png,x", "b.png,y", "c.png,x", "d.png,y")
        refused(tmp_path, "expected one folder per class, or a table with columns of file names and classes")
        refused(tmp_path, "t.csv has no column 'sort'; there are: was, kind", file_column="was", label_column="sort")
        found = counts(tmp_path, file_column="was", label_column="kind", test_fraction=0.5)
        assert {name: sum(each[name] for each in found.values()) for name in "xy"} == {"x": 2, "y": 2}

    def test_rows_and_files_without_each_other_are_named(self, tmp_path):
        for name in "abcd":
            put(tmp_path / f"{name}.png")
        table(tmp_path / "labels.csv", "file,label", "a.png,x", "b.png,y", "gone.png,x", ",x", "c.png,")
        found = Folder(dir=tmp_path, test_fraction=0.5).found(tmp_path)
        assert "labels.csv: 2 rows name no image here (gone.png, no name)" in found.notes
        assert "labels.csv: 1 row says no class (c.png)" in found.notes
        assert {each.path.name: each.why for each in found.passed} == {
            "c.png": "no class in labels.csv",
            "d.png": "not in labels.csv",
        }

    def test_never_lead_out_of_the_folder(self, tmp_path):
        secret = put(tmp_path / "secret.png")
        for name in "ab":
            put(tmp_path / "d" / f"{name}.png")
        table(tmp_path / "d" / "labels.csv", "file,label", "../secret.png,x", f"{secret},x", "a.png,x", "b.png,y")
        assert secret not in Folder(dir=tmp_path / "d").found(tmp_path / "d").paths

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            (("file,label", "a.png,x", "a.png,y", "b.png,x"), "'a.png' is of class 'x' and of 'y'"),
            (("file,label", "c.png,x"), "'c.png' is the name of several images"),
            (("file,label", "nothing.png,x"), "labels.csv names no image here"),
            (("file,label", "a.png,dog, brown", "b.png,x"), "line 2 has more fields than there are columns"),
            (("file,label,label", "a.png,x,y", "b.png,x,y"), "expected each column once, got 'label' again"),
            (("file,label,split", "a.png,x,train", "a.png,x,test"), "'a.png' is in the parts 'train' and 'test'"),
            (("file,label,split", "a.png,x,train", "b.png,x,holdout"), r"column split says holdout \(1 row\), train"),
        ],
    )
    def test_that_contradict_themselves_are_refused(self, tmp_path, rows, said):
        for name in ("a.png", "b.png", "s/c.png", "s/t/c.png"):
            put(tmp_path / name)
        table(tmp_path / "labels.csv", *rows)
        refused(tmp_path, said)

    def test_and_folders_that_say_otherwise_are_asked_about(self, tmp_path):
        classes(tmp_path, "part_1", "part_2", n=2)
        table(tmp_path / "labels.csv", "file,label", "part_10.png,x", "part_20.png,y", "part_11.png,x", "part_21.png,y")
        refused(tmp_path, "labels.csv says other classes than the folders part_1, part_2; `data.layout` table or")
        assert set(counts(tmp_path, layout="table", test_fraction=0.5)["train"]) == {"x", "y"}
        assert set(counts(tmp_path, layout="classes", test_fraction=0.5)["train"]) == {"part_1", "part_2"}

    def test_whose_column_is_named_count_more_than_folders(self, tmp_path):
        classes(tmp_path, "HAM_part_1", "HAM_part_2", n=2)
        names = ("HAM_part_10", "HAM_part_20", "HAM_part_11", "HAM_part_21")
        rows = [f"{name},{dx}" for name, dx in zip(names, "xyxy", strict=True)]
        table(tmp_path / "HAM_metadata.csv", "image_id,dx", *rows)
        refused(tmp_path, "HAM_metadata.csv says other classes than the folders")
        assert set(counts(tmp_path, label_column="dx", test_fraction=0.5)["train"]) == {"x", "y"}

    def test_whose_column_is_named_count_more_than_classes_within_parts(self, tmp_path):
        for part in ("train", "test"):
            classes(tmp_path / part, "ant", "bee", n=1)
        rows = [
            f"{part}/{name}/{name}0.png,{kind}" for part in ("train", "test") for name, kind in (("ant", 6), ("bee", 4))
        ]
        table(tmp_path / "labels.csv", "file,legs", *rows)
        assert set(counts(tmp_path)["train"]) == {"ant", "bee"}
        assert counts(tmp_path, label_column="legs") == {part: {"4": 1, "6": 1} for part in ("train", "test")}

    def test_of_several_columns_that_could_be_the_classes_say_which_is_taken(self, tmp_path):
        for name in "abcd":
            put(tmp_path / f"{name}.png")
        table(
            tmp_path / "t.csv", "filename,label,Class,width", "a.png,x,1,8", "b.png,y,2,8", "c.png,x,3,8", "d.png,y,1,8"
        )
        said = "t.csv: the column label says the class; not used: Class (`data.label_column` takes another)"
        assert said in Folder(dir=tmp_path, test_fraction=0.5).found(tmp_path).notes
        named = Folder(dir=tmp_path, test_fraction=0.5, label_column="label").found(tmp_path)
        assert not [note for note in named.notes if "not used" in note]

    def test_with_paths_never_name_a_file_of_another_folder(self, tmp_path):
        """train/0.png is gone; test/0.png is no stand-in for it."""
        for name in ("train/1.png", "train/2.png", "test/0.png"):
            put(tmp_path / name)
        rows = ("train/0.png,x", "train/1.png,x", "train/2.png,y")
        table(tmp_path / "labels.csv", "file,label", *rows)
        found = Folder(dir=tmp_path, test_fraction=0.5).found(tmp_path)
        assert {path.relative_to(tmp_path).as_posix() for path in found.paths} == {"train/1.png", "train/2.png"}
        assert "labels.csv: 1 row names no image here (train/0.png)" in found.notes

    @pytest.mark.parametrize("ending", ["", ".png"])
    @pytest.mark.parametrize("tested", [False, True])
    def test_beside_folders_that_are_called_like_parts(self, tmp_path, ending, tested):
        for part in ("train", *(["test"] if tested else [])):
            for i in range(20):
                put(tmp_path / part / f"{part}{i}.png")
        table(tmp_path / "labels.csv", "id,breed", *(f"train{i}{ending},{'xy'[i % 2]}" for i in range(20)))
        table(tmp_path / "sample_submission.csv", "id,breed", "test0,x", "test1,y")
        if tested:
            (tmp_path / "sample_submission.csv").unlink()
        found = counts(tmp_path)
        assert {name: sum(each[name] for each in found.values()) for name in "xy"} == {"x": 10, "y": 10}

    def test_of_hugging_face_at_the_root_name_parts_by_folders(self, tmp_path):
        rows = []
        for part, n in (("train", 4), ("test", 2)):
            for i in range(n):
                put(tmp_path / part / f"{i}.png")
                rows.append(f"{part}/{i}.png,{'xy'[i % 2]}")
        table(tmp_path / "metadata.csv", "file_name,label", *rows)
        assert counts(tmp_path) == {"train": {"x": 2, "y": 2}, "test": {"x": 1, "y": 1}}

    def test_called_like_parts_look_into_the_folders_that_are(self, tmp_path):
        for part in ("train", "test"):
            for i in range(2):
                put(tmp_path / part / f"{i}.png")
            table(tmp_path / f"{part}.csv", "file,label", "0.png,x", "1.png,y")
        found = Folder(dir=tmp_path).found(tmp_path)
        assert {part: {path.parent.name for path, _ in images} for part, images in found.parts.items()} == {
            "train": {"train"},
            "test": {"test"},
        }

    def test_an_image_in_two_parts_is_refused(self, tmp_path):
        for name in "ab":
            put(tmp_path / f"{name}.png")
        table(tmp_path / "train.csv", "file,label", "a.png,x", "b.png,y")
        table(tmp_path / "test.csv", "file,label", "a.png,x", "b.png,y")
        refused(tmp_path, "'a.png' is in the parts test and train")

    def test_several_are_asked_about(self, tmp_path):
        put(tmp_path / "a.png")
        for name in ("one", "two"):
            table(tmp_path / f"{name}.csv", "file,label", "a.png,x")
        refused(tmp_path, r"several tables could say the classes: one.csv, two.csv")

    def test_that_are_no_text_are_refused(self, tmp_path):
        put(tmp_path / "a.png")
        put(tmp_path / "labels.csv", b"file,label\n\xff\xfe,x\n")
        refused(tmp_path, r"labels.csv is a table that cannot be read \(not UTF-8 text: invalid start byte at")


LETTERS = "abcdef"
ROWS = tuple(f"{name}.png,{'xy'[i % 2]}" for i, name in enumerate(LETTERS))
CLASSES = {f"{name}.png": "xy"[i % 2] for i, name in enumerate(LETTERS)}


def labels(folder, **how):
    """Return the class of each image, by its file's name."""
    found = Folder(dir=folder, **how).found(folder)
    return {path.name: name for path, name in found.classes.items()}


@pytest.fixture
def flat(tmp_path):
    """Six images, a.png to f.png, without a class."""
    for name in LETTERS:
        put(tmp_path / f"{name}.png")
    return tmp_path


class TestTablesAsPeopleHaveThem:
    @pytest.mark.parametrize("rows", [ROWS, tuple(row.replace(".png", "") for row in ROWS)])
    def test_without_a_header(self, flat, rows):
        table(flat / "labels.csv", *rows)
        assert labels(flat) == CLASSES
        assert any("labels.csv: no header; the first column" in note for note in Folder(dir=flat).found(flat).notes)

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_in_any_encoding_that_says_so(self, flat, encoding, end, separator):
        text = end.join(("", "file,label", *ROWS)).replace(",", separator)
        marked = text if encoding in ("utf-8", "utf-8-sig", "utf-16") else "\ufeff" + text
        put(flat / "labels.csv", marked.encode(encoding))
        assert labels(flat) == CLASSES

    def test_with_separators_in_quoted_names(self, tmp_path):
        for name in ("a, b.png", 'c "d".png'):
            put(tmp_path / name)
        table(tmp_path / "labels.csv", "file,label", '"a, b.png","x, y"', '"c ""d"".png",z')
        assert labels(tmp_path, test_fraction=0.5) == {"a, b.png": "x, y", 'c "d".png': "z"}

    @pytest.mark.parametrize("root", ["{}/", "{}/./", "./", "sub/..\\..\\"])
    def test_with_whole_paths(self, tmp_path, root):
        for name in LETTERS:
            put(tmp_path / "p" / f"{name}.png")
        table(tmp_path / "labels.csv", "file,label", *(f"{root.format(tmp_path)}p/{row}" for row in ROWS))
        if ".." in root:
            refused(tmp_path, r"labels.csv names no image here \(its first is '.*p/a.png'\)")
        else:
            assert labels(tmp_path) == CLASSES

    def test_with_paths_of_another_machine_are_refused_with_the_first(self, flat):
        table(flat / "labels.csv", "file,label", *(f"C:\\photos\\{row}" for row in ROWS))
        refused(flat, r"labels.csv names no image here \(its first is 'C:\\photos\\a.png'\)")

    def test_in_other_letters_are_matched_and_said(self, flat):
        put(flat / "Sub" / unicodedata.normalize("NFD", "é.png"))
        rows = (*ROWS[:4], "E.PNG,x", "F,y", unicodedata.normalize("NFC", "sub/É.png,x"))
        table(flat / "labels.csv", "file,label", *rows)
        found = Folder(dir=flat).found(flat)
        assert len(found.classes) == 7
        said = "labels.csv: 3 rows spell files' names differently (E.PNG is e.png, F is f.png, sub/É.png is "
        assert any(note.startswith(said) for note in found.notes)

    def test_in_other_letters_of_several_files_are_refused(self, flat):
        put(flat / "A.png")
        table(flat / "labels.csv", "file,label", "a.PNG,x", *ROWS[1:])
        refused(flat, r"'a.PNG' is the name of several images: .*A.png, .*a.png")
        table(flat / "labels.csv", "file,label", *ROWS)
        assert labels(flat) == CLASSES

    def test_with_a_column_of_numbers_without_a_name(self, flat):
        rows = (f"{i},{row},{'train' if i < 4 else 'test'}" for i, row in enumerate(ROWS))
        table(flat / "labels.csv", ",file,label,split", *rows)
        assert counts(flat) == {"train": {"x": 2, "y": 2}, "test": {"x": 1, "y": 1}}
        table(
            flat / "labels.csv", ",file,label", "0,a.png,x", "1,a.png,x", *(f"{i},{row}" for i, row in enumerate(ROWS))
        )
        assert labels(flat) == CLASSES

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ((), "table without a line"),
            (
                ("a.png,x,1", "b.png,y,1"),
                "table without columns of file names and classes .its first line: a.png, x, 1.",
            ),
            (("was,kind", *ROWS), "table without columns of file names and classes .its first line: was, kind."),
            (("a,b", "c,d", "1,2", "3,4"), "table without columns of file names and classes .its first line: a, b."),
            (("file,kind", *ROWS), "table without a column of classes .its columns: file, kind."),
            (("was,label", *ROWS), "table without a column of file names .its columns: was, label."),
            (("image,mel,nv", "a.png,0,1", "b.png,1,0"), "table with columns of 0 and 1 .mel, nv., where one column"),
            (("image,mel,nv", "a.png,0.0,1.0"), "table with columns of 0 and 1 .mel, nv., where one column"),
        ],
    )
    def test_that_say_no_classes_say_why(self, tmp_path, flat, rows, said):
        table(flat / "labels.csv", *rows)
        refused(flat, f"6 images lie loose in it; labels.csv is a {said}")
        refused(flat, said, layout="table")
        for name in ("ant", "bee"):
            classes(flat / "d", name)
        table(flat / "d" / "labels.csv", *rows)
        [passed] = Folder(dir=flat / "d").found(flat / "d").passed
        assert re.match(said, passed.why)

    def test_of_no_rows_is_said(self, flat):
        table(flat / "labels.csv", "file,label")
        refused(flat, "labels.csv names no image here: it has no rows")

    @pytest.mark.parametrize("content", [b"\xff\xfea", b"a\xff", encoded()])
    def test_that_cannot_be_read_do_not_stop_class_folders(self, tmp_path, content):
        classes(tmp_path, "ant", "bee")
        put(tmp_path / "notes.csv", content)
        (tmp_path / "gone.csv").symlink_to("nowhere")
        why = {each.path.name: each.why for each in Folder(dir=tmp_path).found(tmp_path).passed}
        assert why["gone.csv"] == "dangling link"
        assert why["notes.csv"].startswith("table that cannot be read (not UTF-8 text")

    def test_of_the_test_alone_are_no_training(self, flat):
        table(flat / "test.csv", "file,label", *ROWS)
        put(flat / "train.csv", b"file,label\n\xff,x\n")
        refused(flat, "expected a table for training, got only test.csv; train.csv is a table that cannot be read")

    def test_images_of_no_part_are_named(self, flat):
        table(
            flat / "labels.csv",
            "file,label,split",
            *(f"{row},{'train' if i < 4 else ''}" for i, row in enumerate(ROWS)),
        )
        passed = Folder(dir=flat, test_fraction=0.5).found(flat).passed
        assert {each.path.name: each.why for each in passed} == dict.fromkeys(
            ("e.png", "f.png"), "no part in labels.csv"
        )

    def test_of_no_known_part_are_named(self, flat):
        for part, rows in (("train", ROWS[:2]), ("test", ROWS[2:4]), ("eval", ROWS[4:])):
            table(flat / f"{part}.csv", "file,label", *rows)
        why = {each.path.name: each.why for each in Folder(dir=flat).found(flat).passed}
        assert why["eval.csv"] == "table whose name says no part"


class TestFoldersOfNoKnownPart:
    @pytest.mark.parametrize("name", ["eval", "holdout", "gallery"])
    @pytest.mark.parametrize("tested", [False, True])
    def test_are_said_where_they_hold_the_classes(self, tmp_path, name, tested):
        for part in ("train", name, *(["test"] if tested else [])):
            classes(tmp_path / part, "ant", "bee")
        if not tested:
            refused(tmp_path, "train may be a part of the data, or a class beside the others; `data.layout` parts or")
        found = Folder(dir=tmp_path, layout="parts").found(tmp_path)
        assert {each.why for each in found.passed} == {f"in {name}, whose name says no part"}
        assert len(found.passed) == 40
        assert any(note.startswith(f"{name} holds classes of the training part, but its name") for note in found.notes)

    def test_of_other_classes_are_beside_the_parts(self, tmp_path):
        for part in ("train", "test"):
            classes(tmp_path / part, "ant", "bee")
        classes(tmp_path / "extra", "cat")
        found = Folder(dir=tmp_path).found(tmp_path)
        assert {each.why for each in found.passed} == {"in extra, beside the parts"}
        assert not found.notes

    def test_a_name_above_the_folder_says_nothing(self, tmp_path):
        folder = tmp_path / "train" / "photos"
        for part in ("train", "test"):
            classes(folder / part, "ant", "bee")
        put(folder / "loose.png")
        assert {each.why for each in Folder(dir=folder).found(folder).passed} == {"beside the parts"}


def assert_alike(found, said):
    notes = [note for note in found.notes if "separate classes" in note]
    expected = "class names that differ only in case, spaces, - or _ count as separate classes: "
    assert notes == ([] if said is None else [expected + said])


class TestNames:
    def test_that_differ_in_their_form_alone_are_one_class(self, tmp_path):
        one, other = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
        assert one != other
        classes(tmp_path / "train", one, "bee", n=3)
        classes(tmp_path / "test", other, "bee", n=2)
        assert counts(tmp_path) == {"train": {"bee": 3, one: 3}, "test": {"bee": 2, one: 2}}

    def test_of_both_forms_in_one_part_are_joined_and_said(self, tmp_path):
        one, other = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
        classes(tmp_path, one, other, "bee", n=10)
        found = Folder(dir=tmp_path).found(tmp_path)
        assert found.class_names == ("bee", one)
        assert "differ in the form of their accents alone" in found.notes[0]

    def test_that_are_numbers_come_as_numbers(self, tmp_path):
        classes(tmp_path, *map(str, range(12)), n=10)
        assert Folder(dir=tmp_path).train().class_names == tuple(map(str, range(12)))

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            (("Cat", "cat", "dog"), "'Cat' and 'cat'"),
            (("wild cat", "Wild_Cat", "wild-cat"), "'Wild_Cat' and 'wild cat' and 'wild-cat'"),
            (("1", "-1", "01", "1.0", "_a", "a", "ab", "a b"), None),
        ],
    )
    @pytest.mark.parametrize("tabled", [False, True])
    def test_that_look_alike_are_said(self, tmp_path, names, said, tabled):
        for i, name in enumerate(names):
            classes(tmp_path / str(i) if tabled else tmp_path, name, n=10)
        if tabled:
            rows = (f"{i}/{name}/{name}{n}.png,{name}" for i, name in enumerate(names) for n in range(10))
            table(tmp_path / "labels.csv", "file,label", *rows)
        found = Folder(dir=tmp_path, layout="table" if tabled else "classes").found(tmp_path)
        assert set(found.class_names) == set(names)
        assert_alike(found, said)

    def test_that_differ_by_a_space_at_the_end_are_said(self, tmp_path):
        classes(tmp_path, "ant ", "ant", "bee", n=10)
        assert_alike(Folder(dir=tmp_path).found(tmp_path), "'ant' and 'ant '")

    def test_order(self):
        assert in_order(["b", "10", "a", "9", "-1", "0.5", "B"]) == ("-1", "0.5", "9", "10", "B", "a", "b")
        assert in_order(["00002", "00010", "00001"]) == ("00001", "00002", "00010")

    def test_that_differ_by_a_blank_are_shown_apart(self, tmp_path):
        classes(tmp_path / "train", "ant", "bee", n=2)
        classes(tmp_path / "test", "ant ", "bee", n=2)
        refused(tmp_path, r"'ant' \(train\), 'ant ' \(test\)")


@pytest.mark.parametrize("loose", [0, 1, 3])
def test_no_classes_at_all_is_one_line(tmp_path, loose):
    for i in range(loose):
        put(tmp_path / f"{i}.png")
    refused(
        tmp_path,
        "expected one folder per class"
        + (f".*; {loose} images? lies? loose in it" if loose else ", .* found no folder$"),
    )


def test_what_would_have_to_be_unpacked_is_named(tmp_path):
    for name in ("photos.zip", "labels.xlsx", ".hidden.zip"):
        put(tmp_path / name, b"PK")
    refused(
        tmp_path, r"there are: archive that is not unpacked \(.zip\), spreadsheet, which is read only as .csv \(.xlsx\)"
    )


def test_an_empty_class_says_what_lies_there(tmp_path):
    classes(tmp_path, "ant", n=3)
    put(tmp_path / "bee" / "x.txt", b"words")
    put(tmp_path / "cat" / "y.png")
    refused(tmp_path, r"no image in class bee \(there are: not an image \(.txt\)\)")


def test_the_advice_goes_with_the_choice(cli, tmp_path):
    classes(tmp_path / "train", "steam", "diesel")
    classes(tmp_path, "bus", "car")
    assert cli("data", "folder", tmp_path)[0] == 2
    code, out, _ = cli("data", "folder", tmp_path, "--data.layout", "classes")
    assert code == 0
    assert "--data.layout classes" in out.splitlines()[-1]

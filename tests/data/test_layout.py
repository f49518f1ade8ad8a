"""The ways in which people arrange images, each against what its makers mean by it."""

import unicodedata

import pytest
from folders import classes, put

from srat.data.folder import Folder
from srat.data.naming import in_order, part_of
from srat.errors import UserError


def counts(folder, **how):
    """Return how many images of each class are in each part that is read."""
    source = Folder(dir=folder, **how)
    found = source.found(folder)
    named = {part: [found.class_names[label] for _, label in images] for part, images in found.parts.items()}
    return {part: {name: names.count(name) for name in found.class_names} for part, names in named.items()}


def refused(folder, said, **how):
    with pytest.raises(UserError, match=said):
        Folder(dir=folder, **how).parts()


def table(path, *rows):
    return put(path, "\n".join(rows).encode())


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *((name, "train") for name in ("train", "Train", "TRAIN", "training", "train_set", "TrainImages", "train2017")),
        *((name, "validation") for name in ("val", "valid", "Validation", "dev", "val_images", "validation-set")),
        *((name, "test") for name in ("test", "Testing", "seg_test", "test data", "images_test", "TEST")),
        *((name, None) for name in ("trainer", "train station", "contest", "seg_pred", "1", "ant", "", "valley")),
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
    assert {each.why for each in found.passed} == {"beside the parts"}
    assert len(found.passed) == 5


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
        refused(tmp_path, "--data.validation test tests on the validation part, --data.validation held-out draws")
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

    def test_folders_in_a_class_are_of_the_class(self, tmp_path):
        classes(tmp_path / "ant", "red", "black", n=10)
        classes(tmp_path, "bee", n=20)
        assert sum(each["ant"] for each in counts(tmp_path).values()) == 20


class TestClassesThatAreCalledLikeParts:
    def test_are_classes_where_images_lie_in_them_as_in_the_others(self, tmp_path):
        classes(tmp_path, "train", "bus", "car")
        assert set(counts(tmp_path)["train"]) == {"train", "bus", "car"}

    def test_are_asked_about_where_it_cannot_be_told(self, tmp_path):
        classes(tmp_path / "train", "steam", "diesel")
        classes(tmp_path, "bus", "car")
        refused(tmp_path, "train may be parts of the data, or classes beside the others; --data.layout parts or")
        assert set(counts(tmp_path, layout="classes")["train"]) == {"train", "bus", "car"}
        assert set(counts(tmp_path, layout="parts")["train"]) == {"steam", "diesel"}

    def test_without_a_training_part_too(self, tmp_path):
        classes(tmp_path / "test", "a", "b")
        classes(tmp_path, "bus")
        refused(tmp_path, "test may be parts")

    def test_images_without_classes_are_no_classes(self, tmp_path):
        for part in ("train", "test"):
            for i in range(3):
                put(tmp_path / part / f"{i}.png")
        refused(tmp_path, "the images in test, train are neither in a folder a class nor in a table")

    def test_a_test_without_classes_is_named(self, tmp_path):
        classes(tmp_path / "train", "ant", "bee")
        put(tmp_path / "test" / "1.png")
        found = Folder(dir=tmp_path).found(tmp_path)
        assert [each.why for each in found.passed] == ["in test, where nothing says the classes"]
        assert not found.own_test

    @pytest.mark.parametrize("names", [("trainA", "testA", "trainB", "testB"), ("test tubes", "training shoes")])
    def test_that_speak_of_several_parts_are_asked_about(self, tmp_path, names):
        classes(tmp_path, *names)
        refused(tmp_path, "may be parts of the data; --data.layout classes takes them as classes")
        assert set(counts(tmp_path, layout="classes")["train"]) == set(names)

    def test_that_hold_the_same_folders_are_asked_about(self, tmp_path):
        for domain in ("amazon", "dslr", "webcam"):
            classes(tmp_path / domain, "bike", "mug")
        refused(tmp_path, r"hold the same folders \(bike, mug\): name one of them with --data-dir")
        assert set(counts(tmp_path, layout="classes")["train"]) == {"amazon", "dslr", "webcam"}

    def test_two_folders_of_one_part_are_refused(self, tmp_path):
        for part in ("train", "Training", "test"):
            classes(tmp_path / part, "ant", "bee", n=2)
        refused(tmp_path, "several folders of one part")

    def test_parts_within_classes_are_refused(self, tmp_path):
        for name in ("ant", "bee"):
            for part in ("train", "test"):
                put(tmp_path / name / part / "1.png")
        refused(tmp_path, "the parts lie within the classes; put the classes within the parts, as in train/ant")
        assert set(counts(tmp_path, layout="classes")["train"]) == {"ant", "bee"}


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
        table(tmp_path / "sample_submission.csv", "id", "z")
        found = Folder(dir=tmp_path).found(tmp_path)
        assert sum(map(len, found.parts.values())) == 10
        assert {str(each.path.relative_to(tmp_path)): each.why for each in found.passed} == {
            "test/z.png": "not in train.csv",
            "sample_submission.csv": "table that is not used",
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
        refused(tmp_path, "expected one folder a class, or a table with columns of file names and classes")
        refused(tmp_path, "there is no column 'sort'; there are: was, kind", file_column="was", label_column="sort")
        found = counts(tmp_path, file_column="was", label_column="kind", test_fraction=0.5)
        assert {name: sum(each[name] for each in found.values()) for name in "xy"} == {"x": 2, "y": 2}

    def test_rows_and_files_without_each_other_are_named(self, tmp_path):
        for name in "abcd":
            put(tmp_path / f"{name}.png")
        table(tmp_path / "labels.csv", "file,label", "a.png,x", "b.png,y", "gone.png,x", "c.png,")
        found = Folder(dir=tmp_path, test_fraction=0.5).found(tmp_path)
        assert "labels.csv: 1 row names no image here (gone.png)" in found.notes
        assert "labels.csv: 1 row says no class (c.png)" in found.notes
        assert {each.path.name for each in found.passed if each.why == "not in labels.csv"} == {"c.png", "d.png"}

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
            (("file,label", "nothing.png,x"), "labels.csv names no image that is here"),
            (("file,label", "a.png,dog, brown", "b.png,x"), "line 2 has more fields than there are columns"),
            (("file,label,label", "a.png,x,y", "b.png,x,y"), "expected each column once, got 'label' again"),
            (("file,label,split", "a.png,x,train", "a.png,x,test"), "'a.png' is in the parts 'train' and 'test'"),
            (("file,label,split", "a.png,x,train", "b.png,x,holdout"), "column split says 'holdout'; expected train"),
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
        refused(tmp_path, "labels.csv says other classes than the folders part_1, part_2; --data.layout table or")
        assert set(counts(tmp_path, layout="table", test_fraction=0.5)["train"]) == {"x", "y"}
        assert set(counts(tmp_path, layout="classes", test_fraction=0.5)["train"]) == {"part_1", "part_2"}

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
        refused(tmp_path, "labels.csv: not a readable table")


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

    def test_order(self):
        assert in_order(["b", "10", "a", "9", "-1", "0.5", "B"]) == ("-1", "0.5", "9", "10", "B", "a", "b")
        assert in_order(["00002", "00010", "00001"]) == ("00001", "00002", "00010")

    def test_that_differ_by_a_blank_are_shown_apart(self, tmp_path):
        classes(tmp_path / "train", "ant", "bee", n=2)
        classes(tmp_path / "test", "ant ", "bee", n=2)
        refused(tmp_path, r"'ant' \(train\), 'ant ' \(test\)")


@pytest.mark.parametrize("loose", [0, 3])
def test_no_classes_at_all_is_one_line(tmp_path, loose):
    for i in range(loose):
        put(tmp_path / f"{i}.png")
    refused(tmp_path, "expected one folder a class" + (f".*{loose} images lie loose in it" if loose else ""))


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

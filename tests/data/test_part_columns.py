"""Columns that say the parts: what is understood is taken, what is not is asked about, and no test is trained on."""

import pytest
from folders import classes, counts, put, refused, table

from srat.data.image_folder.table import PART_COLUMNS
from srat.data.sources.folder import Folder


def tabled(folder, said, *, column="split", name="labels.csv", where="{}.png"):
    """Put an image and a row of a table for each text of a column of parts, two classes in turns of four."""
    for i in range(len(said)):
        put(folder / where.format(i))
    rows = (f"{where.format(i)},{'xy'[i // 4 % 2]},{part}" for i, part in enumerate(said))
    table(folder / name, f"file,label,{column}", *rows)
    return folder


def notes(folder, **how):
    return Folder(dir=folder, **how).found(folder).notes


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (("development", "test"), r"development \(10 rows\), test \(10 rows\); expected train, validation or test"),
        (("0", "1"), r"0 \(10 rows\), 1 \(10 rows\); expected train"),
        (("train", "holdout"), r"holdout \(10 rows\), train \(10 rows\); expected train"),
        (("Training", "PublicTest"), r"PublicTest \(10 rows\), Training \(10 rows\)"),
        (("", "test"), r"nothing \(10 rows\), test \(10 rows\), and nowhere train: write train where that is meant"),
        (("validation", "test"), r"validation \(10 rows\), test \(10 rows\), and nowhere train"),
        (("test", "test"), r"test \(20 rows\), and nowhere train"),
    ],
)
@pytest.mark.parametrize("layout", ["auto", "table"])
def test_that_are_not_wholly_understood_are_asked_about(tmp_path, said, shown, layout):
    refused(
        tabled(tmp_path, said * 10), f"labels.csv: the column split says {shown}.*, or remove the column", layout=layout
    )


@pytest.mark.parametrize("column", [*PART_COLUMNS, "is_train", "Data Split", "USAGE"])
def test_are_known_by_their_names(tmp_path, column):
    refused(tabled(tmp_path, ("1", "0") * 10, column=column), f"the column {column} says 1")


def test_are_known_by_what_they_say(tmp_path):
    tabled(tmp_path, ("train", "train", "Test", "TEST") * 5, column="anything")
    assert counts(tmp_path) == {"train": {"x": 6, "y": 4}, "test": {"x": 6, "y": 4}}


def test_that_say_parts_count_before_those_that_are_called_so(tmp_path):
    said = [f"{i % 5},{('train', 'train', 'train', 'test')[i % 4]}" for i in range(20)]
    tabled(tmp_path, said, column="fold,anything")
    assert sum(counts(tmp_path)["test"].values()) == 5


def test_of_other_words_are_of_no_part(tmp_path):
    tabled(tmp_path, ("train", "bus") * 10, column="seen_from")
    assert any("drawn by the hashes" in note for note in notes(tmp_path))


def test_that_are_empty_say_nothing(tmp_path):
    tabled(tmp_path, ("", "") * 10)
    assert any("drawn by the hashes" in note for note in notes(tmp_path))


def test_an_empty_cell_is_of_the_folders_part(tmp_path):
    tabled(tmp_path, ("", "", "", "") * 5, where="train/{}.png")
    put(tmp_path / "test" / "t.png")
    assert set(counts(tmp_path)["train"]) == {"x", "y"}
    for said, shown in ((("", "test"), 10), (("train", "test"), 10)):
        tabled(tmp_path, said * 10, where="train/{}.png")
        assert sum(counts(tmp_path)["test"].values()) == shown


@pytest.mark.parametrize("beside", [("photos",), ()])
def test_images_in_a_test_folder_without_training_are_asked_about(tmp_path, beside):
    names = [f"{folder}/{folder}{i}.png" for folder in ("test", *beside) for i in range(10)]
    for name in names:
        put(tmp_path / name)
    table(tmp_path / "labels.csv", "file,label", *(f"{name},{'xy'[i % 2]}" for i, name in enumerate(names)))
    got = "test and others" if beside else "test"
    for layout in ("auto", "table"):
        refused(tmp_path, f"expected images in a folder train among those that it names, got {got}$", layout=layout)


class TestOfTablesThatAreCalledLikeParts:
    def test_that_are_understood_divide_them(self, tmp_path):
        tabled(tmp_path, ("train", "train", "train", "valid") * 5, name="train.csv")
        tabled(tmp_path, ("", "") * 4, name="test.csv", where="t{}.png")
        assert {part: sum(each.values()) for part, each in counts(tmp_path).items()} == {
            "train": 15,
            "validation": 5,
            "test": 8,
        }

    def test_of_folds_are_said(self, tmp_path):
        tabled(tmp_path, range(20), column="fold", name="train.csv")
        said = "train.csv: the column fold (0, 1, 2, …) is not read: the table's name says the part"
        assert said in notes(tmp_path)

    def test_that_are_half_understood_are_asked_about(self, tmp_path):
        refused(tabled(tmp_path, ("train", "holdout") * 10, name="train.csv"), r"split says holdout \(10 rows\), train")


class TestOfTablesWithinParts:
    @pytest.fixture
    def parts(self, tmp_path):
        classes(tmp_path / "test", "x", "y", n=2)
        return tmp_path

    def test_that_say_several_parts_are_asked_about(self, parts):
        tabled(parts / "train", ("train", "val") * 10)
        refused(
            parts, "train/labels.csv: the column split says train, validation within one part: put the table beside"
        )

    def test_of_folds_are_said(self, parts):
        tabled(parts / "train", range(20), column="fold")
        assert "labels.csv: the column fold (0, 1, 2, …) is not read: all its images are of one part" in notes(parts)

    def test_that_agree_are_not_spoken_of(self, parts):
        tabled(parts / "train", ["train"] * 20)
        assert notes(parts) == ()

"""Tables that say no classes as they are: the reason, the columns that there are, and advice that works."""

import pytest
from folders import classes, counts, put, refused, table

from srat.core.errors import UserError
from srat.data.sources.folder import Folder
from srat.data.survey import survey

N = 10
WANTED = r"or a table with columns of file names and classes \(`data.file_column`, `data.label_column`\), found "


def images(folder, *, n=N, start=0):
    for i in range(start, start + n):
        put(folder / f"{i}.png")


def rows(*, ending=".png", n=N, start=0):
    return [f"{i}{ending},{'xy'[i % 2]}" for i in range(start, start + n)]


class TestOneFolderOfImages:
    @pytest.mark.parametrize(
        ("name", "lines", "said"),
        [
            ("labels.csv", ("was,kind", *rows()), r"is a table without columns .* \(its first line: was, kind\)"),
            (
                "labels.csv",
                ("was,kind", *rows(ending="")),
                r"is a table without columns .* \(its first line: was, kind\)",
            ),
            ("labels.tsv", ("image\tkind", "0.png\tx"), r"is a table without a column of classes \(its columns: image"),
            (
                "truth.csv",
                ("image,MEL,NV", "2,1.0,0.0", "3,0.0,1.0"),
                r"is a table with columns of 0 and 1 \(MEL, NV\)",
            ),
            ("labels.csv", ("was,kind", "C:\\p\\0.png,x"), "is a table without columns"),
            ("labels.txt", ("images/0.png x", "images/1.png y"), "names images, but only tables in .csv and .tsv"),
            ("train.txt", ("0 1", "1 2"), "names images, but only tables"),
            ("metadata.jsonl", ('{"file_name": "0.png", "label": "x"}',), "names images, but only tables"),
            ("labels.json", ('{"0.png": "x",', '"1.png": "y"}'), "names images, but only tables"),
        ],
    )
    @pytest.mark.parametrize("layout", ["auto", "classes"])
    def test_beside_a_table_is_no_class(self, tmp_path, name, lines, said, layout):
        images(tmp_path / "images")
        table(tmp_path / name, *lines)
        refused(tmp_path, rf"{WANTED}one folder with images \(images\); {name} {said}", layout=layout)
        with pytest.raises(UserError, match=WANTED):
            survey(Folder(dir=tmp_path, layout=layout))

    @pytest.mark.parametrize("name", ["README.txt", "notes.csv", "labels.xml"])
    def test_beside_other_files_is_one_class(self, tmp_path, name):
        images(tmp_path / "images")
        table(tmp_path / name, "words, about pictures.png", "3,4")
        with pytest.raises(UserError, match="at least two classes, got 1: images"):
            Folder(dir=tmp_path).train()
        assert "it has one class" in survey(Folder(dir=tmp_path)).problem

    def test_and_a_table_in_another_folder(self, tmp_path):
        images(tmp_path / "images")
        table(tmp_path / "data" / "labels.csv", "file,label", *rows())
        refused(
            tmp_path, rf"{WANTED}one folder with images \(images\); data/labels.csv lies apart: put it into {tmp_path}$"
        )

    def test_loose_images_with_a_folder_of_other_files(self, tmp_path):
        images(tmp_path)
        table(tmp_path / "labels.csv", "was,kind", *rows())
        put(tmp_path / "annotations" / "a.xml", b"x")
        refused(tmp_path, f"{WANTED}no folder with images; 10 images lie loose in it; labels.csv is a table without")

    def test_the_advice_works(self, tmp_path):
        images(tmp_path / "images")
        table(tmp_path / "labels.csv", "was,kind", *rows())
        assert sum(counts(tmp_path, file_column="was", label_column="kind")["train"].values())

    def test_in_each_part_with_a_list(self, tmp_path):
        for part in ("train", "test"):
            images(tmp_path / part)
            table(tmp_path / part / "metadata.jsonl", '{"file_name": "0.png"}')
        refused(tmp_path, r"; test/metadata.jsonl names images, but .*; train/metadata.jsonl names images, but")


class TestPartsWithTables:
    @pytest.fixture
    def parts(self, tmp_path):
        images(tmp_path / "train")
        images(tmp_path / "test", start=100)
        return tmp_path

    def test_and_a_form_for_predictions(self, parts):
        table(parts / "labels.csv", "file,label", *rows())
        table(parts / "sample_submission.csv", "file,label", *rows(start=100))
        found = Folder(dir=parts, test_fraction=0.5).found(parts)
        assert {path.parent.name for path in found.paths} == {"train"}
        why = {each.path.name: each.why for each in found.passed}
        assert why["sample_submission.csv"] == "form for predictions, going by its name"

    @pytest.mark.parametrize("name", ["submission.csv", "SampleSubmission.csv", "gender_submission.csv"])
    def test_a_form_alone_says_no_classes(self, parts, name):
        table(parts / name, "file,label", *rows())
        refused(parts, f"{name} is a form for predictions, going by its name")

    def test_several_that_could_say_the_classes(self, parts):
        table(parts / "labels.csv", "file,label", *rows())
        table(parts / "test_labels.csv", "file,label", *rows(start=100))
        refused(
            parts, "several tables could say the classes: labels.csv, test_labels.csv; leave one there, or call them"
        )
        (parts / "labels.csv").rename(parts / "train.csv")
        (parts / "test_labels.csv").rename(parts / "test.csv")
        assert {part: sum(each.values()) for part, each in counts(parts).items()} == {"train": N, "test": N}

    def test_columns_that_one_table_alone_has(self, parts):
        table(parts / "train.csv", "id_code,kind", *rows(ending=""))
        table(parts / "test.csv", "id_code", "100", "101")
        refused(
            parts,
            r"`data.file_column` and `data.label_column` name a table's columns.*\(its first line: id_code, kind\)",
        )
        found = Folder(dir=parts, file_column="id_code", label_column="kind", test_fraction=0.5).found(parts)
        assert len(found.paths) == N
        said = "test.csv has no column 'no'; there are: id_code; train.csv has no column 'no'; there are: id_code, kind"
        refused(parts, said, file_column="id_code", label_column="no")

    def test_of_the_test_alone(self, parts):
        table(parts / "labels.csv", "file,label", *rows(start=100))
        refused(parts, "labels.csv: expected images in a folder train among those that it names, got test$")


def test_classes_beside_a_table_are_still_classes(tmp_path):
    classes(tmp_path, "ant", "bee")
    table(tmp_path / "notes.csv", "image,width", "ant0.png,8")
    assert set(counts(tmp_path)["train"]) == {"ant", "bee"}

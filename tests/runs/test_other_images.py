"""A test set that comes later: images of a run's classes in another folder, with results under a name of their own."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import srat
from quick import quick
from srat.core.errors import UserError
from srat.data.apart import images_apart
from srat.data.sources.folder import Folder


def paint(path, grey, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), grey, np.uint8)).save(path)


def tree(root, classes, *, each=4, size=(8, 8), shift=0):
    """Write a folder of classes, each of its own shade."""
    for number, name in enumerate(classes):
        for place in range(each):
            paint(root / name / f"{place}.png", (40 * number + place + shift) % 256, size)
    return root


def read(place, classes=("a", "b", "c"), source=None, said=None, side=8):
    told = said.append if said is not None else lambda _: None
    return images_apart(place, source or Folder(), classes, channels=3, height=side, width=side, told=told)


class TestImages:
    def test_classes_are_matched_by_name(self, tmp_path):
        found = read(tree(tmp_path, ("c", "a")), classes=("a", "b", "c"))
        assert found.class_names == ("a", "b", "c")
        assert found.counts == (4, 0, 4)
        shades = found.images[:].float().mean(dim=(1, 2, 3))
        assert (shades[found.labels == 2] < 10).all()  # "c" was painted first
        assert (shades[found.labels == 0] > 30).all()

    def test_of_a_folder_with_parts_the_test_is_taken(self, tmp_path):
        tree(tmp_path / "train", ("a", "b", "c"), each=6)
        tree(tmp_path / "test", ("a", "b", "c"), each=2)
        said = []
        assert read(tmp_path, said=said).counts == (2, 2, 2)
        assert any("test" in line for line in said)

    def test_a_folder_of_a_test_alone(self, tmp_path):
        tree(tmp_path / "test", ("a", "b", "c"), each=2)
        assert read(tmp_path).counts == (2, 2, 2)

    def test_a_class_may_be_called_test(self, tmp_path):
        tree(tmp_path, ("test", "b"), each=3)
        assert read(tmp_path, classes=("b", "test")).counts == (3, 3)

    def test_a_table_says_the_classes(self, tmp_path):
        for place in range(3):
            paint(tmp_path / f"{place}.png", 50 * place)
        (tmp_path / "labels.csv").write_text("file,label\n0.png,b\n1.png,b\n2.png,a\n")
        assert read(tmp_path).counts == (1, 2, 0)

    def test_of_a_table_with_parts_the_test_is_taken(self, tmp_path):
        for place in range(6):
            paint(tmp_path / f"{place}.png", 40 * place)
        rows = [f"{place}.png,{'ab'[place % 2]},{'train' if place < 4 else 'test'}" for place in range(6)]
        (tmp_path / "labels.csv").write_text("\n".join(["file,label,split", *rows]))
        said = []
        assert read(tmp_path, classes=("a", "b"), said=said).counts == (1, 1)
        assert any("the test part, 2 images" in line for line in said)

    def test_images_of_other_sizes_are_resized_and_it_is_said(self, tmp_path):
        said = []
        tree(tmp_path, ("a", "b", "c"), size=(20, 12))
        assert read(tmp_path, said=said).images.shape == (12, 3, 8, 8)
        assert "12 images are resized to 8 × 8" in said

    def test_what_it_lacks_and_what_is_passed_over_is_said(self, tmp_path):
        said = []
        tree(tmp_path, ("a", "b"))
        (tmp_path / "notes.txt").write_text("x")
        read(tmp_path, said=said)
        assert any("no image in class c" in line for line in said)
        assert any("not read" in line for line in said)

    def test_a_class_that_the_model_does_not_know_is_refused(self, tmp_path):
        tree(tmp_path, ("a", "b", "dog"))
        with pytest.raises(UserError, match="expected classes of the model, got dog as well; the model has a, b, c"):
            read(tmp_path)

    def test_no_folder_and_no_image_are_refused(self, tmp_path):
        with pytest.raises(UserError, match="expected a folder"):
            read(tmp_path / "none")
        (tmp_path / "a").mkdir()
        with pytest.raises(UserError):
            read(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from srat.cli import main

    place = tmp_path_factory.mktemp("other")
    tree(place / "photos", ("a", "b", "c"), each=12)
    words = [*quick(), "--data", "folder", "--data-dir", str(place / "photos"), "--holdout.fraction", "0"]
    assert main(["train", *words, "--batch-size", "8", "--out", str(place / "run")]) == 0
    return place / "run"


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


class TestResults:
    def test_stand_beside_the_others_under_their_name(self, run, tmp_path, cli):
        before = (run / "evaluation.json").read_bytes()
        tree(tmp_path / "later", ("c", "b"), each=5, shift=3)
        words = ("evaluate", run, "--data-dir", tmp_path / "later", "--name", "winter", "--device", "cpu")
        code, out, err = cli(*words)
        assert code == 0, err
        assert "on 10 images of winter" in out
        assert (run / "evaluation.json").read_bytes() == before
        assert (run / "evaluation-winter.json").exists()
        assert (run / "examples-winter.safetensors").exists()

    def test_are_those_of_the_model_on_these_images(self, run, tmp_path):
        tree(tmp_path / "later", ("a", "b", "c"), each=5, shift=3)
        found = srat.evaluate_run(run, name="later", data_dir=tmp_path / "later", attacks=["clean"], device="cpu")
        images = read(tmp_path / "later").images[:]
        with torch.no_grad():
            right = srat.load(run)(srat.data.to_unit(images)).logits.argmax(dim=1)
        labels = torch.arange(3).repeat_interleave(5)
        assert sum(found.results["clean"].counts.correct) == int((right == labels).sum())
        assert found.results["clean"].counts.total == (5, 5, 5)

    def test_of_other_images_under_a_name_that_is_taken_are_refused(self, run, tmp_path):
        for number, name in enumerate(("one", "two")):
            tree(tmp_path / name, ("a", "b", "c"), shift=number)
        srat.evaluate_run(run, name="later", data_dir=tmp_path / "one", attacks=["clean"], device="cpu")
        with pytest.raises(UserError, match="of other test images"):
            srat.evaluate_run(run, name="later", data_dir=tmp_path / "two", attacks=["clean"], device="cpu")

    def test_of_some_of_the_images_are_kept_apart_again(self, run, tmp_path):
        tree(tmp_path / "later", ("a", "b", "c"))
        found = srat.evaluate_run(
            run, name="later", data_dir=tmp_path / "later", attacks=["clean"], images=6, device="cpu"
        )
        assert found.path.name == "evaluation-later-6.json"

    def test_tables_name_the_files_of_the_runs_own_images_alone(self, run, tmp_path):
        own = srat.evaluate_run(run, attacks=["clean"], device="cpu")
        srat.write_tables(own, tmp_path / "own")
        first, second = (tmp_path / "own" / "images.csv").read_text().splitlines()[:2]
        assert first.startswith("image,file,class,")
        assert second.split(",")[1].endswith(".png")
        labels = own.results["clean"].counts.total
        for name, count in zip("abc", labels, strict=True):
            tree(tmp_path / "later", (name,), each=count)
        later = srat.evaluate_run(run, name="later", data_dir=tmp_path / "later", attacks=["clean"], device="cpu")
        srat.write_tables(later, tmp_path / "other")
        assert (tmp_path / "other" / "images.csv").read_text().startswith("image,class,")

    @pytest.mark.parametrize("name", ["best", "raw-1", "new", "within", "1000", "a/b", "../a", "", "é"])
    def test_names_that_others_have_or_no_file_can_have_are_refused(self, run, tmp_path, name):
        tree(tmp_path / "later", ("a", "b", "c"))
        with pytest.raises(UserError, match="name"):
            srat.evaluate_run(run, name=name, data_dir=tmp_path / "later", attacks=["clean"], device="cpu")

    def test_a_name_without_images_is_refused(self, run, cli):
        code, _, err = cli("evaluate", run, "--name", "winter", "--device", "cpu")
        assert code == 2
        assert "--data-dir" in err

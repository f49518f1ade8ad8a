"""What ``srat.load`` gives: a module like any other, with class names and predictions."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import srat
from photographs import NAMES, photographs, untrained
from srat.core.errors import UserError
from srat.models import Classifier, Normalization, Output


@pytest.fixture
def run(tmp_path):
    return untrained(tmp_path / "run")


@pytest.fixture
def paths(tmp_path):
    return photographs(tmp_path / "photographs")


class TestPredict:
    def test_is_what_the_model_says_by_name(self, run):
        model, images = srat.load(run), torch.rand(300, 3, 9, 9)
        found, shares = model.predict(images, top=2), model(images).logits.softmax(dim=1)
        assert model.class_names == NAMES
        assert [each.class_name for each in found] == [NAMES[c] for c in shares.argmax(dim=1).tolist()]
        assert [each.probability for each in found] == pytest.approx(shares.max(dim=1).values.tolist())
        second = shares.topk(2).indices[:, 1].tolist()
        assert [each.top[1][0] for each in found] == [NAMES[c] for c in second]
        assert all(each.top[0] == (each.class_name, each.probability) and len(each.top) == 2 for each in found)
        assert {each.path for each in found} == {None}

    def test_of_files_folders_and_photographs_is_that_of_the_command(self, run, paths):
        model, folder = srat.load(run), next(iter(paths.values())).parent
        known = srat.predict_files(run, [folder], attack="natural", device="cpu")
        wanted = [(path, NAMES[each.label]) for path, each in zip(known.paths, known.predictions, strict=True)]
        assert [(each.path, each.class_name) for each in model.predict(folder)] == wanted
        assert [(each.path, each.class_name) for each in model.predict([path for path, _ in wanted])] == wanted
        images = [Image.open(path) for path, _ in wanted]
        found = model.predict(images)
        assert [each.probability for each in found] == pytest.approx([each.probability for each in known.predictions])
        assert model.predict(images[0])[0].probability == pytest.approx(found[0].probability)

    def test_of_bytes_is_that_of_numbers(self, run):
        model, bytes_ = srat.load(run), np.random.default_rng(0).integers(0, 256, (4, 3, 9, 9), dtype=np.uint8)
        assert model.predict(bytes_) == model.predict(torch.from_numpy(bytes_) / 255)

    def test_says_what_is_passed_over(self, run, paths):
        folder = next(iter(paths.values())).parent
        (folder / "notes.txt").write_text("no image")
        with pytest.warns(UserWarning, match=r"^not read: not an image \(.txt\): 1 \(.*notes.txt\)$"):
            assert len(srat.load(run).predict(folder)) == len(paths)

    @pytest.mark.parametrize(
        ("images", "top", "said"),
        [
            ([], 1, "images: expected paths, Pillow's images, or a tensor, got "),
            (3, 1, "images: expected paths, Pillow's images, or a tensor, got 3"),
            (["x.png", 3], 1, "images: expected paths, Pillow's images, or a tensor, got "),
            (torch.rand(2, 3, 9, 9), 4, "`top`: expected 1 to 3 classes, got 4"),
            (torch.rand(2, 3, 9, 9), 0, "`top`: expected 1 to 3 classes, got 0"),
            (torch.rand(2, 3, 9, 9) * 9, 1, "images: expected values in [0, 1]"),
            (torch.rand(2, 3, 9), 1, "images: expected 4 axes"),
            ("there is no.png", 1, "there is no file or folder 'there is no.png'"),
        ],
    )
    def test_refuses_in_a_line(self, run, images, top, said):
        with pytest.raises(UserError) as error:
            srat.load(run).predict(images, top=top)
        assert said in str(error.value)
        assert "\n" not in str(error.value)

    def test_names_all_that_cannot_be_read(self, run, paths, tmp_path):
        for name in ("a.png", "b.png"):
            (tmp_path / name).write_text("no image")
        with pytest.raises(UserError, match=r"2 files cannot be read: .*a.png: not a readable image; .*b.png"):
            srat.load(run).predict([tmp_path / "a.png", *paths.values(), tmp_path / "b.png"])


class TestModule:
    def test_is_what_it_was(self, run):
        model = srat.load(run)
        assert isinstance(model, Classifier)
        assert not model.training
        assert list(model.state_dict()) == ["normalization.mean", "normalization.std", "head.weight", "head.bias"]
        assert type(model).__name__ == "Classifier"
        assert isinstance(model(torch.rand(2, 3, 9, 9)), Output)
        assert type(srat.load(run)) is type(model)

    def test_is_copied_and_pickled_with_all_that_it_knows(self, run):
        model, images = srat.load(run), torch.rand(3, 3, 9, 9)
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False)):
            assert other.class_names == NAMES
            assert other.predict(images) == model.predict(images)
            with torch.no_grad():
                other.head.weight.zero_()
            assert other.predict(images) != model.predict(images)

    def test_a_model_of_ones_own_keeps_what_it_has(self, run):
        class Own(Classifier):
            def predict(self, images):
                return "mine"

        flat = srat.load(run)
        own = Own(
            Normalization(torch.ones(3) / 2, torch.ones(3) / 4), flat.backbone, nn.Linear(flat.head.in_features, 3)
        )
        loaded = srat.load(run, model=own)
        assert loaded is own
        assert isinstance(loaded, Own)
        assert (loaded.predict("x"), loaded.class_names) == ("mine", NAMES)
        images = torch.rand(2, 3, 9, 9)
        assert torch.equal(loaded(images).logits, flat(images).logits)

"""Tiny-ImageNet, on a made-up tree of its layout."""

import shutil
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from srat.config.composition import compose
from srat.core.errors import UserError
from srat.data import prepare
from srat.data.sources.tiny_imagenet import TinyImageNet
from srat.training.fitting import fit

pytestmark = pytest.mark.usefixtures("no_network")
WNIDS = [f"n{1000 + 7 * c:08d}" for c in range(200)]


def write(path, value, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((64, 64, 3), value, np.uint8)).convert(mode).save(path, "JPEG")


def make_tree(root, images=2):
    """Class c has the colour (c, c, c) in training, and (c + 20) in the test; folders are made in disorder."""
    for c in np.random.default_rng(0).permutation(200):
        for i in range(images):
            write(root / "train" / WNIDS[c] / "images" / f"{WNIDS[c]}_{i}.JPEG", c, "L" if i else "RGB")
        (root / "train" / WNIDS[c] / f"{WNIDS[c]}_boxes.txt").write_text("0\t0\t63\t63\n")
    rows = []
    for place, c in enumerate(np.random.default_rng(1).permutation(200)):
        write(root / "val" / "images" / f"val_{place}.JPEG", c + 20)
        rows.append(f"val_{place}.JPEG\t{WNIDS[c]}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(rows))
    names = {wnid: f"thing {c}, stuff" for c, wnid in enumerate(WNIDS)}
    names |= {WNIDS[3]: "crane", WNIDS[4]: "crane, machine", "n99999999": "elsewhere"}
    (root / "words.txt").write_text("".join(f"{wnid}\t{words}\n" for wnid, words in names.items()))
    write(root / "test" / "images" / "test_0.JPEG", 1)
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("data") / "tiny-imagenet-200")


@pytest.fixture
def tree(whole, tmp_path):
    """A copy to damage."""
    return shutil.copytree(whole, tmp_path / "tiny-imagenet-200")


def of(folder, **settings):
    return TinyImageNet(dir=folder, verify=False, **settings)


def levels(dataset):
    images = dataset.images if isinstance(dataset.images, torch.Tensor) else dataset.images[:]
    return images[:, :, 30, 30].float().mean(dim=1).round().long()


def test_images_and_labels_are_in_step_in_both_parts(whole):
    train, test = of(whole).train(), of(whole).test()
    assert train.counts == (2,) * 200
    assert test.counts == (1,) * 200
    assert train.images.shape == (400, 3, 64, 64)
    assert (levels(train) - train.labels).abs().max() <= 2
    assert (levels(test) - 20 - test.labels).abs().max() <= 2


def test_classes_come_in_the_order_of_their_numbers_with_their_words(whole):
    names = of(whole).train().class_names
    assert names == of(whole).test().class_names
    assert names[:6] == ("thing 0", "thing 1", "thing 2", f"crane ({WNIDS[3]})", f"crane ({WNIDS[4]})", "thing 5")


def test_is_found_in_the_folder_around_it_and_in_that_of_the_environment(whole, monkeypatch):
    assert of(whole.parent).find() == of(whole).find() == whole / "train"
    monkeypatch.setenv("SRAT_DATA_DIR", str(whole.parent))
    assert len(TinyImageNet(verify=False).test()) == 200


def test_the_validation_part_is_the_test_and_no_other(whole):
    parts = of(whole).parts()
    assert parts.there == {"train", "test"}
    assert parts.validation() is None
    chosen = of(whole, classes=(4, 0)).test()
    assert chosen.class_names == (f"crane ({WNIDS[4]})", "thing 0")
    assert levels(chosen).tolist() in ([20, 24], [24, 20])


def test_twenty_classes_are_refused(tree):
    """As of "Tiny-ImageNet-LT", which is its first twenty classes."""
    for wnid in WNIDS[20:]:
        (tree / "train" / wnid).rename(tree / wnid)
    with pytest.raises(UserError, match="train: expected 200 classes, got 20; "):
        of(tree).train()
    with pytest.raises(UserError, match="got 20"):
        of(tree).test()


def test_the_published_numbers_are_asked_for(whole):
    with pytest.raises(UserError, match=f"train: expected 500 images of class {WNIDS[0]}, got 2; `data.verify` false"):
        TinyImageNet(dir=whole).train()
    with pytest.raises(UserError, match="val: expected 50 images"):
        TinyImageNet(dir=whole).test()


def test_a_class_without_an_image_is_refused(tree):
    for path in (tree / "train" / WNIDS[7] / "images").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=f"expected an image of class {WNIDS[7]}, got 0$"):
        of(tree).train()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(WNIDS[9], "n00000000"), "expected a file and one of 200 classes, got 'n00000000'"),
        (lambda text: text.replace("\t", " "), "line 1: expected a file and one of 200 classes, got ''"),
        (lambda text: text.replace("val_7.JPEG", "val_777.JPEG"), "line 8: there is no .*val_777.JPEG"),
        (lambda text: text.replace("val_7.JPEG", "../words.txt"), "there is no"),
        (lambda text: text.replace("val_7.JPEG", "val_8.JPEG"), "expected each file once, got val_8.JPEG twice"),
        (lambda text: "", "expected an image of class"),
    ],
)
def test_annotations_that_cannot_be_are_refused(tree, change, said):
    table = tree / "val" / "val_annotations.txt"
    table.write_text(change(table.read_text()))
    with pytest.raises(UserError, match=said):
        of(tree).test()


def test_files_that_are_missing_or_no_text_are_refused(tree):
    (tree / "words.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="words.txt: not text in UTF-8"):
        of(tree).train()
    (tree / "val" / "val_annotations.txt").unlink()
    with pytest.raises(UserError, match="val_annotations.txt: cannot be read"):
        of(tree).test()


def test_says_where_to_put_what_is_missing(tmp_path):
    with pytest.raises(UserError, match=f"there is no tiny-imagenet-200.* in {tmp_path}: unpack http"):
        of(tmp_path).train()
    assert of(tmp_path).find() is None


def test_an_image_of_another_size_is_refused(tree):
    Image.new("RGB", (32, 32)).save(tree / "train" / WNIDS[0] / "images" / f"{WNIDS[0]}_0.JPEG")
    with pytest.raises(UserError, match="32 × 32 pixels, expected 64 × 64"):
        of(tree).train().images[:]


def test_a_run_trains_on_it(tree):
    config = compose(data=of(tree), model="linear", epochs=1, method="natural", augmentation="crop-flip", ratio=1)
    assert compose(data="tiny-imagenet").model.name == "preact-resnet18"
    kept = prepare(config.data, config.imbalance, config.holdout, seed=0)
    assert kept.train.counts == (1,) * 200
    run = fit(config, device="cpu", compiled="off")
    assert len(run.history) == 1


def test_where_it_lies_is_no_part_of_a_runs_name(whole, tmp_path):
    named = partial(compose, model="linear")
    assert named(data=of(whole)).id == named(data=TinyImageNet(dir=tmp_path, streaming="always")).id

"""Image classifiers of transformers: what is taken of a folder, what is resized and normalised, what is refused."""

import json
import shlex
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from torch.nn import functional as F
from transformers import (
    AutoModelForImageClassification,
    ConvNextConfig,
    ConvNextModel,
    ResNetConfig,
    ViTConfig,
)

import srat
from refusals import refusing
from srat import UserError
from srat.cli.commands.train import read_arguments
from srat.config.command_line import command_of
from srat.config.composition import compose
from srat.config.config import Config
from srat.core.signals import Interrupted
from srat.data.imbalance import Step
from srat.models import ImageShape, build
from srat.models.backbones import hugging_face
from srat.models.backbones.hugging_face import HuggingFace, resizing
from srat.models.heads import LinearHead
from srat.models.starting import start_from
from srat.report.exporting import without_place
from srat.training.fitting import fit
from stopping import StopAfter, content

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
SIZE = 16
NAMES = {0: "cat", 1: "dog", 2: "emu"}
DESCRIBED = {
    "convnext": ConvNextConfig(hidden_sizes=[4, 8], depths=[1, 1], num_stages=2, id2label=NAMES),
    "resnet": ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", id2label=NAMES),
    "vit": ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=SIZE,
        patch_size=8,
        id2label=NAMES,
    ),
}


def described(folder, name="preprocessor_config.json", **said):
    (folder / name).write_text(json.dumps(said))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of each kind, as save_pretrained writes it."""
    folder = tmp_path_factory.mktemp("hugging-face")
    for seed, (kind, settings) in enumerate(DESCRIBED.items()):
        torch.manual_seed(seed)
        model = AutoModelForImageClassification.from_config(settings)
        for tensor in model.state_dict().values():
            tensor.add_(0.1 * torch.rand(tensor.shape) if tensor.is_floating_point() else 0)
        model.save_pretrained(folder / kind)
        size = {"height": SIZE, "width": SIZE} if kind == "vit" else {"shortest_edge": SIZE}
        described(folder / kind, image_mean=MEAN, image_std=STD, size=size, do_normalize=True, rescale_factor=1 / 255)
    return folder


@pytest.fixture(params=DESCRIBED)
def folder(request, saved, tmp_path):
    """A copy of one of them, which may change and go."""
    shutil.copytree(saved / request.param, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def convnext(saved, tmp_path):
    shutil.copytree(saved / "convnext", tmp_path / "model")
    return tmp_path / "model"


def made(architecture, classes=3, size=SIZE, channels=3, **options):
    shape = ImageShape(channels=channels, height=size, width=size)
    statistics = {"mean": 0.25 * torch.ones(channels), "std": 0.75 * torch.ones(channels)}
    return build(architecture, LinearHead(), shape=shape, classes=classes, **statistics, **options)


def started(architecture, class_names=("cat", "dog", "emu"), **options):
    model = made(architecture, len(class_names), **options)
    return model.eval(), start_from(architecture.weights(), model, class_names)


def theirs(folder, images):
    """Return what transformers itself says of images that have the model's size."""
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))
    return model(pixel_values=(images - mean) / std).logits


class TestWeights:
    def test_give_what_transformers_gives(self, folder):
        images = torch.rand(4, 3, SIZE, SIZE)
        model, said = started(HuggingFace(path=folder))
        with torch.no_grad():
            torch.testing.assert_close(model(images).logits, theirs(folder, images), rtol=1e-4, atol=1e-5)
        count = len(model.state_dict())
        assert said == f"training starts from {folder}: {count} of {count} tensors taken"

    def test_leave_the_head_where_the_classes_are_others(self, folder):
        model, said = started(HuggingFace(path=folder), ("cat", "dog", "fox", "hen"))
        assert "the head starts at random: its classes are others (3: cat, dog, emu there, 4: cat, dog, fox, …" in said
        assert model.head.weight.shape[0] == 4

    def test_of_a_model_without_head_are_its_backbone(self, tmp_path):
        ConvNextModel(DESCRIBED["convnext"]).save_pretrained(tmp_path)
        before = torch.get_rng_state()
        said = started(HuggingFace(path=tmp_path))[1]
        assert "the head starts at random: head.weight is not there" in said
        assert torch.equal(torch.get_rng_state(), before)

    def test_may_lie_in_several_files(self, convnext):
        whole = HuggingFace(path=convnext)
        model = AutoModelForImageClassification.from_pretrained(convnext)
        (convnext / "model.safetensors").unlink()
        model.save_pretrained(convnext, max_shard_size="1KB")
        parted = HuggingFace(path=convnext)
        assert parted.sha256 != whole.sha256
        assert "tensors taken" in started(parted)[1]
        index = json.loads((convnext / "model.safetensors.index.json").read_text())
        index["weight_map"] = dict.fromkeys(index["weight_map"], "../other.safetensors")
        (convnext / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(UserError, match="expected the names of files beside it"):
            HuggingFace(path=convnext)

    def test_that_have_changed_are_refused(self, convnext, saved):
        architecture = HuggingFace(path=convnext)
        shutil.copy(saved / "resnet" / "model.safetensors", convnext)
        with pytest.raises(UserError, match=f"`model.path` '{convnext}': expected weights with the checksum"):
            architecture.weights()


class TestInputs:
    @pytest.mark.parametrize(("there", "wanted"), [(8, 16), (16, 12), (28, 7), (5, 5)])
    def test_are_resized_as_pytorch_does(self, there, wanted, rng):
        images = torch.rand(2, 3, there, there + 1, generator=rng)
        ours = resizing(there, wanted) @ images @ resizing(there + 1, wanted).T
        expected = F.interpolate(images, size=(wanted, wanted), mode="bilinear", antialias=True)
        torch.testing.assert_close(ours, expected)

    def test_of_another_size_are_resized_within_the_model(self, folder, rng):
        images = torch.rand(2, 3, 8, 8, generator=rng)
        model, _ = started(HuggingFace(path=folder), size=8)
        larger = F.interpolate(images, size=(SIZE, SIZE), mode="bilinear", antialias=True)
        with torch.no_grad():
            torch.testing.assert_close(model(images).logits, theirs(folder, larger), rtol=1e-4, atol=1e-5)

    def test_of_one_channel_are_seen_in_all(self, folder, rng):
        images = torch.rand(2, 1, SIZE, SIZE, generator=rng)
        model, _ = started(HuggingFace(path=folder), channels=1)
        with torch.no_grad():
            torch.testing.assert_close(model(images).logits, theirs(folder, images), rtol=1e-4, atol=1e-5)
        with pytest.raises(UserError, match="expected 1 channel, got 3"):
            model(torch.rand(2, 3, SIZE, SIZE))

    def test_of_two_channels_are_refused(self, convnext):
        with pytest.raises(UserError, match="expected images of 3 channels or one, got 2"):
            made(HuggingFace(path=convnext), channels=2)

    def test_have_a_gradient(self, folder, rng):
        images = torch.rand(2, 3, 8, 8, generator=rng).requires_grad_()
        started(HuggingFace(path=folder), size=8)[0](images).logits.sum().backward()
        assert images.grad.abs().sum(dim=(1, 2, 3)).min() > 0

    @pytest.mark.parametrize(
        ("said", "mean", "std", "size"),
        [
            ({"image_mean": MEAN, "image_std": STD, "size": 32}, MEAN, STD, (32, 32)),
            ({"image_mean": MEAN, "image_std": STD, "size": {"height": 4, "width": 6}}, MEAN, STD, (4, 6)),
            ({"size": {"shortest_edge": 20}, "do_center_crop": True, "crop_size": 12}, [0.0], [1.0], (12, 12)),
            ({"do_normalize": False, "image_mean": MEAN, "image_std": STD}, [0.0], [1.0], (0, 0)),
            # (2 x − 1 − 0.5) / 0.25 is (x − 0.75) / 0.125.
            (
                {"image_mean": [0.5], "image_std": [0.25], "rescale_factor": 2 / 255, "rescale_offset": True},
                [0.75],
                [0.125],
                (0, 0),
            ),
        ],
    )
    def test_are_as_the_folder_says(self, said, mean, std, size, convnext):
        described(convnext, **said)
        settings = json.loads((convnext / "config.json").read_text())
        described(convnext, "config.json", **{name: each for name, each in settings.items() if name != "image_size"})
        found = HuggingFace(path=convnext)
        assert (found.mean, found.std, found.size) == (pytest.approx(mean), pytest.approx(std), size)

    def test_are_the_datas_own_where_it_says_nothing(self, convnext):
        (convnext / "preprocessor_config.json").unlink()
        found = HuggingFace(path=convnext)
        model, said = started(found)
        assert (found.mean, found.size) == ((), (224, 224))
        assert model.normalization.mean.flatten().tolist() == [0.25] * 3
        assert "not there: normalization.mean, normalization.std" in said

    def test_are_as_one_says_where_one_does(self, convnext):
        found = HuggingFace(path=convnext, size=(8, 8), mean=(0.1,), std=(0.2,))
        assert (found.size, found.mean, found.std) == ((8, 8), (0.1,), (0.2,))

    def test_of_bgr_are_refused(self, convnext):
        described(convnext, do_flip_channel_order=True)
        with pytest.raises(UserError, match="expected a model of RGB images"):
            HuggingFace(path=convnext)


class TestRefused:
    def test_without_a_path(self):
        with refusing("model.path", "none"):
            made(HuggingFace())

    def test_pickles(self, convnext):
        (convnext / "model.safetensors").rename(convnext / "pytorch_model.bin")
        with pytest.raises(UserError, match=r"pytorch_model.bin may run code, and is not read") as caught:
            HuggingFace(path=convnext)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("path", ["no/such/folder", "/no/folder", "a b"])
    def test_folders_that_are_not_there(self, path):
        with pytest.raises(UserError, match="there is no such folder"):
            HuggingFace(path=path)

    def test_models_of_a_hub_that_cannot_be_reached(self, monkeypatch, tmp_path):
        def unreachable(name, *, local_files_only=False, **_):
            raise LocalEntryNotFoundError("not cached") if local_files_only else ConnectionError("no network\nat all")

        monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
        with pytest.raises(UserError, match=r"not in the cache and cannot be fetched \(ConnectionError: no network\)"):
            HuggingFace(path="who/what")

    def test_not_what_the_cache_holds(self, monkeypatch, convnext):
        def cached(name, *, local_files_only=False, **_):
            assert local_files_only
            return str(convnext)

        monkeypatch.setattr("huggingface_hub.snapshot_download", cached)
        found = HuggingFace(path="who/what")
        assert (found.path, found.sha256) == (Path("who/what"), HuggingFace(path=convnext).sha256)

    @pytest.mark.parametrize("kind", ["bert", "timm_wrapper", "", "no-such"])
    def test_other_kinds_of_models(self, kind, convnext):
        settings = json.loads((convnext / "config.json").read_text())
        described(convnext, "config.json", **settings | {"model_type": kind})
        with pytest.raises(UserError) as caught:
            made(HuggingFace(path=convnext))
        assert "\n" not in str(caught.value)

    def test_settings_that_make_no_model(self, convnext):
        settings = json.loads((convnext / "config.json").read_text())
        described(convnext, "config.json", **settings | {"hidden_sizes": ["a"], "hidden_act": "evil"})
        with pytest.raises(UserError, match="transformers cannot make this model"):
            made(HuggingFace(path=convnext))


def test_nothing_that_names_code_is_kept(convnext):
    settings = json.loads((convnext / "config.json").read_text())
    naming = {"auto_map": {"AutoConfig": "evil.Config"}, "_attn_implementation": "evil/kernels", "_x": 1}
    described(convnext, "config.json", **settings | naming | {"attn_implementation": "evil/kernels"})
    assert "evil" not in HuggingFace(path=convnext).architecture
    handed = HuggingFace(architecture=json.dumps(settings | naming))
    assert "evil" not in repr(hugging_face._settings(handed.architecture, 3).to_dict())


def small(**changes):
    config = compose(method="ce", batch_size=16, epochs=1, imbalance=Step(ratio=5, cap=12), optimizer="adamw")
    evaluation = replace(config.evaluation, steps=1)
    return replace(config, attack=replace(config.attack, steps=1), evaluation=evaluation, **changes)


def test_a_run_needs_its_folder_no_more(folder, tmp_path):
    config = small(model=HuggingFace(path=folder))
    trained = fit(config, out=tmp_path / "run", device="cpu", compiled="off").model
    shutil.rmtree(folder)
    assert Config.read(tmp_path / "run" / "config.json") == config
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(srat.load(tmp_path / "run")(images).logits, trained.eval()(images).logits)
    assert srat.evaluate_run(tmp_path / "run", attacks=["pgd-1"], device="cpu").results
    exported = srat.export_run(tmp_path / "run", "torch-export")
    assert exported.difference < 1e-3


def test_a_run_that_was_stopped_goes_on_without_its_folder(convnext, tmp_path):
    config = small(model=HuggingFace(path=convnext))
    fit(config, out=tmp_path / "whole", device="cpu", compiled="off")
    with pytest.raises(Interrupted):
        fit(config, out=tmp_path / "stopped", device="cpu", compiled="off", observer=StopAfter(3))
    shutil.rmtree(convnext)
    fit(Config.read(tmp_path / "stopped" / "config.json"), out=tmp_path / "stopped", device="cpu", compiled="off")
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_a_run_is_named_by_the_content_of_its_folder(convnext, saved):
    one, other = small(model=HuggingFace(path=convnext)), small(model=HuggingFace(path=saved / "convnext"))
    assert one.id == other.id
    assert replace(one, model=replace(one.model, sha256="ab")).id != one.id
    assert replace(one, model=replace(one.model, size=(8, 8))).id != one.id
    words = shlex.split(command_of(one))
    assert not any("architecture" in word for word in words)
    assert read_arguments(words[2:])[1] == one
    hidden = without_place(one)
    assert str(convnext) not in hidden.to_json()
    assert hidden.id == one.id


def test_without_transformers_one_line_says_what_to_install(convnext, monkeypatch):
    architecture = HuggingFace(path=convnext)
    for name in [each for each in sys.modules if each == "transformers" or each.startswith("transformers.")]:
        monkeypatch.setitem(sys.modules, name, None)
    for use in (partial(made, architecture), architecture.weights):
        with pytest.raises(UserError, match=r"needs transformers: pip install 'srat\[hugging-face\]'"):
            use()

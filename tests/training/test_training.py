"""Training models of the user's own: of every type, with frozen and lazy parts, and of other libraries."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

import srat
import wrapping
from srat.core.errors import UserError
from srat.core.signals import Interrupted
from srat.data.sources.digits import Digits
from srat.evaluation.record import Result
from srat.feature_losses import Separation
from srat.models import wrap
from srat.runtime.fabric import make_fabric
from srat.training.fitting import fit
from srat.training.setting_up import set_up
from srat.training.step import gathered
from stopping import StopAfter
from wrapping import GREY, Notices, Own

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot reach the edge")  # so few steps are quick
tiny = partial(wrapping.tiny, epochs=2)


def own(dtype=torch.float32, seed=0, **options):
    torch.manual_seed(seed)
    module = Own(lambda z: {"logits": z.log_softmax(1)}, head_first=True, **options)
    return wrap(module.to(dtype), **GREY)


def states(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class TestTypes:
    def test_double_is_trained_as_double(self, tmp_path):
        observer = Notices()
        run = fit(tiny(), model=own(torch.float64), out=tmp_path, observer=observer)
        single = fit(tiny(), model=own())
        assert {p.dtype for p in run.model.parameters()} == {torch.float64}
        assert not [text for text in observer.said if "weights" in text]
        assert run.history[-1]["loss"] == pytest.approx(single.history[-1]["loss"], rel=1e-2)
        loaded = srat.load(tmp_path, model=own(torch.float64, seed=1))
        assert same(loaded.state_dict(), run.model.state_dict())

    @pytest.mark.parametrize(("dtype", "part"), [(torch.float16, "1/2,048"), (torch.bfloat16, "1/256")])
    def test_half_is_trained_and_told_of(self, dtype, part):
        observer = Notices()
        model = own(dtype)
        before = states(model)
        run = fit(tiny(), model=model, observer=observer)
        (said,) = [text for text in observer.said if "of a weight" in text]
        assert f"updates of less than {part} of a weight are lost" in said
        assert ("small gradients" in said) == (dtype is torch.float16)
        assert not same(before, run.model.state_dict())
        assert run.history[-1]["loss"] < run.history[0]["loss"]

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
    def test_mixed_precision_wants_fp32(self, precision, dtype):
        with pytest.raises(UserError, match=f"`precision` {precision}: expected a model with fp32 weights, got float"):
            fit(tiny(precision=precision), model=own(dtype))
        fit(tiny(precision=precision, epochs=1), model=own())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_losses_are_made_of_fp32(dtype, dataset):
    config = replace(tiny(), batch_size=12)
    training = set_up(config, make_fabric("cpu"), dataset, None, wrap(Colours().to(dtype), **GREY))
    output = training.model(dataset.images / 255)
    assert output.logits.dtype == dtype
    assert {part.dtype for part in gathered(training, output, 12)} == {torch.float32}


class Colours(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(192, 4))


class TestFrozenParts:
    @staticmethod
    def frozen():
        model = own()
        for part in (model.backbone.body[0], model.backbone.bn):
            part.requires_grad_(False)
        return model

    def test_stay(self):
        model = self.frozen()
        before = states(model)
        after = fit(tiny(), model=model).model.state_dict()
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert moved >= {"backbone.fc.weight", "backbone.body.4.weight", "backbone.bn.running_mean"}
        assert not moved & {"backbone.body.0.weight", "backbone.body.0.bias", "backbone.bn.weight", "backbone.bn.bias"}
        assert not model.backbone.body[0].weight.requires_grad

    def test_resume_to_the_byte(self, tmp_path):
        whole = fit(tiny(), model=self.frozen(), out=tmp_path / "whole")
        with pytest.raises(Interrupted):
            fit(tiny(), model=self.frozen(), out=tmp_path / "cut", observer=StopAfter(7))
        run = fit(tiny(), model=self.frozen(), out=tmp_path / "cut")
        assert same(run.model.state_dict(), whole.model.state_dict())
        files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
        assert files[0] == files[1]

    def test_and_nothing_else_are_refused_before_anything_is_written(self, tmp_path):
        with pytest.raises(UserError, match="expected a parameter to train"):
            fit(tiny(), model=own().requires_grad_(False), out=tmp_path / "run")
        assert not (tmp_path / "run").exists()


class TestLazyParts:
    @staticmethod
    def lazy():
        torch.manual_seed(0)
        body = (nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10), nn.LogSoftmax(1))
        return wrap(nn.Sequential(*body), **GREY)

    def test_are_trained_and_loaded(self, tmp_path, rng):
        run = fit(tiny(), model=self.lazy(), out=tmp_path)
        loaded = srat.load(tmp_path, model=self.lazy())
        assert same(loaded.state_dict(), run.model.state_dict())
        again = fit(tiny(), model=self.lazy(), out=tmp_path)  # has ended: loads
        assert same(again.model.state_dict(), run.model.state_dict())


class TestRefuses:
    def test_a_projection_that_it_does_not_have(self):
        config = replace(tiny(), feature_loss=Separation(projection_dimensions=8))
        with pytest.raises(UserError, match="projection_dimensions`: expected 0 with a model of your own"):
            fit(config, model=own())

    def test_another_number_of_classes(self):
        with pytest.raises(UserError, match="expected 10 logits, one for each class, got 7"):
            fit(tiny(), model=own(classes=7))

    def test_images_that_the_model_does_not_take(self):
        model = wrap(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), **GREY)
        with pytest.raises(UserError, match=r"Sequential does not take images of 1 × 8 × 8 \(RuntimeError: mat1"):
            fit(tiny(), model=model)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_modes_of_the_caller_do_not_matter(mode, tmp_path):
    wanted = states(fit(tiny(), model=own()).model)
    model = own()
    with mode():
        found = states(fit(tiny(), model=model, out=tmp_path).model)
        loaded = srat.load(tmp_path, model=copy.deepcopy(model))  # whose weights are made within
        fit(tiny(), model=wrap(model.backbone, **GREY))
    assert same(found, wanted)
    assert same(loaded.state_dict(), wanted)
    assert not same(states(model), wanted)


def hugging_face():
    transformers = pytest.importorskip("transformers")
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    stages = {"hidden_sizes": [8, 8], "depths": [1, 1], "num_channels": 1, "num_labels": 10}
    patches = {"image_size": 8, "patch_size": 4, "num_channels": 1, "num_labels": 10, **size}
    return {
        "vit": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**patches)),
        "deit": lambda: transformers.DeiTForImageClassificationWithTeacher(transformers.DeiTConfig(**patches)),
        "resnet": lambda: transformers.ResNetForImageClassification(
            transformers.ResNetConfig(embedding_size=8, layer_type="basic", **stages)
        ),
        "convnext": lambda: transformers.ConvNextForImageClassification(
            transformers.ConvNextConfig(patch_size=2, num_stages=2, **stages)
        ),
        "swin": lambda: transformers.SwinForImageClassification(
            transformers.SwinConfig(
                image_size=8, patch_size=2, num_channels=1, embed_dim=8, depths=[1], num_heads=[1], window_size=2,
                num_labels=10,
            )
        ),
        "mobilenet": lambda: transformers.MobileNetV2ForImageClassification(
            transformers.MobileNetV2Config(
                num_channels=1, image_size=32, depth_multiplier=0.25, min_depth=4, depth_divisible_by=4, num_labels=10
            )
        ),
    }  # fmt: skip


HEADS = {"vit": "classifier", "resnet": "classifier.1", "convnext": "classifier", "swin": "classifier"}


@pytest.mark.parametrize("kind", ["vit", "deit", "resnet", "convnext", "swin", "mobilenet"])
def test_models_of_hugging_face(kind):
    torch.manual_seed(0)
    net = hugging_face()[kind]().eval()
    images = torch.rand(5, 1, 8, 8)
    plain = net((images - 0.5) / 0.25).logits
    if kind == "deit":  # the mean of two heads: which are the features has to be said
        with pytest.raises(UserError, match="head="):
            wrap(net, **GREY)(images)
    model = wrap(net, **GREY, head="cls_classifier" if kind == "deit" else None).eval()
    output = model(images)
    assert torch.equal(output.logits, plain)
    assert output.features.shape == (5, model.head.in_features)
    if kind in HEADS:
        assert model._head == HEADS[kind]
        torch.testing.assert_close(model.head(output.features), plain)
    run = fit(tiny(epochs=1), model=model)
    test = Digits().test()
    found = srat.evaluate(run.model, test.images[:40], test.labels[:40], attack="pgd-2")
    assert isinstance(found, Result)

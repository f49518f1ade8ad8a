"""Exported models against the trained one, by the runtimes that others use."""

import importlib
import json
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import srat
from srat.config.composition import compose
from srat.core.errors import UserError
from srat.feature_losses import Separation
from srat.inference.exporting import KINDS, Exported, describe, export_onnx, export_torch, placed
from srat.models import ImageShape
from srat.models.backbones.resnet import ResNet18
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.backbones.wide_resnet import WideResNet
from srat.runs.run import ModelFacts, build_model

NAMES = ("naïve 猫", "b c", '"quoted"')
MODELS = {
    "small-cnn, cosine head": replace(compose(method="srat-ldam"), model=SmallCNN(width=4)),
    "resnet18, linear head": replace(compose(method="ce"), model=ResNet18(width=4)),
    "wide-resnet, projection": replace(
        compose(method="srat-ce"), model=WideResNet(depth=10, widen=1), feature_loss=Separation(projection_dimensions=8)
    ),
}


def made(name, channels=3):
    """Return a model with running statistics that are not those of its birth, and its facts."""
    config = MODELS[name]
    shape = ImageShape(channels=channels, height=16, width=12)
    torch.manual_seed(0)
    model = build_model(
        config, shape=shape, classes=3, mean=torch.full((channels,), 0.4), std=torch.full((channels,), 0.2)
    )
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(8, channels, 16, 12))
    facts = ModelFacts(config=config, class_names=NAMES, train_counts=(5, 4, 3), shape=shape, epoch=1)
    return model.eval(), facts


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a model, its file of a kind, and how far that is from it; each file is written once."""

    @cache
    def write(kind, name):
        (model, facts), (file, export) = made(name), KINDS[kind]
        path = tmp_path_factory.mktemp("exported") / file
        return model, path, export(model, facts, path)

    return write


@pytest.mark.parametrize("name", MODELS)
def test_torch_export_does_what_the_model_does(name, written):
    model, path, distance = written("torch-export", name)
    assert distance <= 1e-5
    extra = dict.fromkeys(("class_names", "threat_model"), "")
    program = torch.export.load(path, extra_files=extra).module()
    for count in (1, 5):
        images = torch.rand(count, 3, 16, 12)
        with torch.no_grad():
            logits, probabilities = program(images)
            torch.testing.assert_close(logits, model(images).logits, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(probabilities, model(images).logits.softmax(dim=1), rtol=0, atol=1e-5)
    assert tuple(json.loads(extra["class_names"])) == NAMES
    assert json.loads(extra["threat_model"]) == {"norm": "linf", "epsilon": 0.1}


@pytest.mark.parametrize("name", MODELS)
def test_a_program_computes_on_whatever_device_it_is_moved_to(name, written):
    program = torch.export.load(written("torch-export", name)[1]).module().to("meta")
    assert not [node.name for node in program.graph.nodes if "device" in node.kwargs]
    logits, probabilities = program(torch.rand(5, 3, 16, 12, device="meta"))
    assert (logits.device.type, logits.shape, probabilities.shape) == ("meta", (5, 3), (5, 3))


def test_the_threat_model_told_is_that_of_the_evaluation():
    _, facts = made("resnet18, linear head")
    config = replace(facts.config, evaluation=replace(facts.config.evaluation, epsilon=0.25))
    assert json.loads(describe(replace(facts, config=config))["threat_model"]) == {"norm": "linf", "epsilon": 0.25}


# The third's layers are those of the second, its projection is no part of the file.
@pytest.mark.parametrize("name", list(MODELS)[:2])
def test_onnx_does_what_the_model_does(name, written):
    runtime = pytest.importorskip("onnxruntime")
    model, path, distance = written("onnx", name)
    assert distance <= 1e-5
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 5):
        images = torch.rand(count, 3, 16, 12)
        logits, probabilities = session.run(["logits", "probabilities"], {"images": images.numpy()})
        with torch.no_grad():
            wanted = model(images).logits
        assert np.abs(logits - wanted.numpy()).max() <= 1e-5 * max(1, wanted.abs().max())
        assert np.abs(probabilities - wanted.softmax(dim=1).numpy()).max() <= 1e-5
    said = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(said["class_names"])) == NAMES
    assert [*path.parent.iterdir()] == [path]  # the weights are inside, nothing is left over


@pytest.mark.parametrize("kind", ["normalisation", "scale", "a thousandth"])
def test_a_file_that_does_something_else_is_refused(kind, tmp_path, monkeypatch):
    model, facts = made("small-cnn, cosine head")

    def wrong(self, images):
        logits = self.model(images / 2 if kind == "normalisation" else images).logits
        logits = logits * {"scale": 30, "a thousandth": 1.001}.get(kind, 1)
        return logits, logits.softmax(dim=1)

    def traced(*args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(Exported, "forward", wrong)
            return trace(*args, **options)

    trace = torch.export.export
    monkeypatch.setattr(torch.export, "export", traced)
    with pytest.raises(UserError, match="differs from the trained one"):
        export_torch(model, facts, tmp_path / "m.pt2")
    assert not list(tmp_path.iterdir())


def test_without_onnx_it_says_what_to_install(tmp_path, monkeypatch):
    def missing(name, *args):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"pip install 'srat\[onnx\]'"):
        export_onnx(*made("small-cnn, cosine head"), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_tells_where_it_was_made(kind, written):
    _, path, _ = written(kind, "small-cnn, cosine head")
    content = path.read_bytes()
    if kind == "torch-export":
        with zipfile.ZipFile(path) as archive:
            content += b"".join(archive.read(member) for member in archive.namelist())
    for folder in (Path(srat.__file__).parent, path.parent):
        assert str(folder).encode() not in content


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    (tmp_path / "m.onnx").write_text("before")

    def fail():
        with placed(tmp_path / "m.onnx") as part:
            part.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"m.onnx": "before"}


def test_every_kind_has_a_file_name():
    assert {name: file for name, (file, _) in KINDS.items()} == {"torch-export": "model.pt2", "onnx": "model.onnx"}

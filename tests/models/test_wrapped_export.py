"""Wrapped models as exported files: what others' runtimes make of images is what the module itself does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from srat.inference.exporting import export_onnx, export_torch
from srat.models import ImageShape, wrap
from srat.models.wrapping.wrapper import Custom
from srat.runs.run import ModelFacts
from wrapping import tiny

MEAN, STD = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
SHAPE = ImageShape(channels=3, height=10, width=8)


class Net(nn.Module):
    """Convolution, BatchNorm and a head, which a function follows."""

    def __init__(self, after, tokens=False):
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 4)
        self.after, self.tokens = after, tokens

    def forward(self, x):
        x = self.bn(self.conv(x)).relu().flatten(2).transpose(1, 2)
        z = self.fc(x).mean(1) if self.tokens else self.fc(x.mean(1))
        return self.after(z)


NETS = {
    "plain": (lambda: Net(lambda z: z), lambda output: output),
    "log-softmax": (lambda: Net(lambda z: z.log_softmax(1)), lambda output: output),
    "temperature": (lambda: Net(lambda z: (z / 3).clamp(-1, 1)), lambda output: output),
    "tuple": (lambda: Net(lambda z: (z, [z * 2], z.sum())), lambda output: output[0]),
    "dict": (lambda: Net(lambda z: {"loss": z.sum(), "logits": F.relu(z)}), lambda output: output["logits"]),
    "nested": (lambda: Net(lambda z: [z.sum(), {"z": z}]), lambda output: output[1]["z"]),
    "tokens": (lambda: Net(lambda z: z, tokens=True), lambda output: output),
}


class TestWrapped:
    @pytest.mark.parametrize("name", NETS)
    def test_torch_export(self, name, tmp_path):
        model, facts, wanted = made(name)
        assert export_torch(model, facts, tmp_path / "m.pt2") <= 1e-5
        program = torch.export.load(tmp_path / "m.pt2").module()
        compare(lambda images: program(images), wanted)

    # It is made of the same trace, in which outputs of all forms are a tensor.
    @pytest.mark.parametrize("name", ["temperature", "nested"])
    def test_onnx(self, name, tmp_path):
        runtime = pytest.importorskip("onnxruntime")
        model, facts, wanted = made(name)
        assert export_onnx(model, facts, tmp_path / "m.onnx") <= 1e-5
        session = runtime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
        compare(lambda images: map(torch.from_numpy, session.run(None, {"images": images.numpy()})), wanted)


def test_a_model_that_was_never_called_is_exported(tmp_path):
    model, facts, wanted = made("log-softmax", called=False)
    export_torch(model, facts, tmp_path / "m.pt2")
    compare(torch.export.load(tmp_path / "m.pt2").module(), wanted)


def compare(run, wanted):
    """Compare an exported model with the module, on batches of other sizes than the example's."""
    for count in (1, 5):
        images = torch.rand(count, *vars(SHAPE).values())
        logits, probabilities = run(images)
        torch.testing.assert_close(logits, wanted(images), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(probabilities, wanted(images).softmax(1), rtol=1e-4, atol=1e-5)


def made(name, *, called=True):
    """Return a wrapped model, its facts, and what its module says of images that are normalised by hand."""
    torch.manual_seed(0)
    make, logits = NETS[name]
    net = make()
    model = wrap(net, mean=MEAN, std=STD).train()
    for _ in range(3 * called):  # so that BatchNorm's statistics are not those of its birth
        model(torch.rand(8, *vars(SHAPE).values()))
    config = replace(tiny(), model=Custom.of(model))
    names, counts = tuple("abcd"), (4, 3, 2, 1)
    facts = ModelFacts(config=config, class_names=names, train_counts=counts, shape=SHAPE, epoch=1)

    def wanted(images):
        x = (images.numpy() - np.array(MEAN).reshape(-1, 1, 1)) / np.array(STD).reshape(-1, 1, 1)
        with torch.no_grad():
            return logits(net.eval()(torch.from_numpy(x).float()))

    return model.eval(), facts, wanted

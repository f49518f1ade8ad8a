"""BatchNorm folded into the convolution before it: the same function, and only where it is one."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from srat.attacks import input_gradient
from srat.losses import cross_entropy
from srat.models import lent
from srat.models.backbones.preact_resnet import preact_resnet18_backbone
from srat.models.backbones.resnet import resnet18_backbone
from srat.models.backbones.small_cnn import small_cnn_backbone
from srat.models.backbones.wide_resnet import wide_resnet_backbone
from srat.models.folding import Pair, find_folding, find_pairs, fold


def lively(model, channels=3):
    """Give BatchNorm weights and statistics that matter."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, 0.5, 2), (module.bias, -1, 1)):
                if tensor is not None:
                    nn.init.uniform_(tensor, low, high)
    model.train()(torch.rand(16, channels, 16, 16))
    return model.eval()


def classifier(backbone, dimensions):
    return lively(nn.Sequential(backbone, nn.Linear(dimensions, 5)))


BACKBONES = {
    "resnet18": (lambda: classifier(resnet18_backbone(3, 4), 32), 20, 20),
    "small-cnn": (lambda: classifier(small_cnn_backbone(3, 4), 32), 4, 4),
    # Of pre-activation blocks only the inner convolution is followed by BatchNorm alone.
    "preact-resnet18": (lambda: classifier(preact_resnet18_backbone(3, 4), 32), 8, 17),
    "wide-resnet": (lambda: classifier(wide_resnet_backbone(3, 10, 1), 64), 3, 7),
}


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_logits_and_gradients_are_the_plain_ones(name, layout):
    make, folded, norms = BACKBONES[name]
    model = make().to(memory_format=layout)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) == norms
    images, labels = torch.rand(8, 3, 16, 16), torch.arange(8) % 5
    assert len(find_pairs(model, images)) == folded
    folding = find_folding(model, images, torch.float32)
    loss_at = lambda x: cross_entropy(model(x), labels)  # noqa: E731
    plain, gradient = model(images), input_gradient(loss_at, images)
    with folding.in_place():
        torch.testing.assert_close(model(images), plain, rtol=1e-4, atol=1e-4)
        close = input_gradient(loss_at, images)
    torch.testing.assert_close(close, gradient, rtol=1e-3, atol=1e-5)
    assert (close.sign() == gradient.sign()).float().mean() > 0.999


def test_follows_the_weights_and_undoes_itself():
    model = BACKBONES["resnet18"][0]()
    images = torch.rand(4, 3, 16, 16)
    folding = find_folding(model, images, torch.float32)
    for _ in range(2):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.1)
        model.train()(torch.rand(8, 3, 16, 16))
        model.eval()
        before = {name: id(module) for name, module in model.named_modules()}
        plain = model(images)
        with folding.in_place():
            torch.testing.assert_close(model(images), plain, rtol=1e-4, atol=1e-4)
    assert {name: id(module) for name, module in model.named_modules()} == before
    with pytest.raises(ZeroDivisionError), folding.in_place():
        raise ZeroDivisionError
    assert {name: id(module) for name, module in model.named_modules()} == before
    assert torch.equal(model(images), plain)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_is_the_affine_map_by_hand(bias, affine):
    convolution, norm = nn.Conv2d(2, 3, 1, bias=bias).double(), nn.BatchNorm2d(3, affine=affine).double().eval()
    norm.running_mean.copy_(torch.tensor([1.0, -2.0, 0.5]))
    norm.running_var.copy_(torch.tensor([4.0, 0.25, 1.0]))
    into = nn.Conv2d(2, 3, 1).double().requires_grad_(False)
    with torch.no_grad():
        fold(convolution, norm, into)
    x = torch.rand(4, 2, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(into(x), norm(convolution(x)), rtol=1e-12, atol=1e-12)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.bn(self.conv(x)).mean((2, 3))


class Twice(Net):
    """The convolution's output goes elsewhere too."""

    def forward(self, x):
        y = self.conv(x)
        return (self.bn(y) + y).mean((2, 3))


class Shared(Net):
    """The convolution is called twice."""

    def forward(self, x):
        return self.bn(self.conv(x)).mean((2, 3)) + self.conv(x).mean((2, 3))


class Between(Net):
    def forward(self, x):
        return self.bn(F.relu(self.conv(x))).mean((2, 3))


class InPlace(Net):
    def forward(self, x):
        return self.bn(self.conv(x).mul_(2)).mean((2, 3))


class Aliased(Net):
    def __init__(self):
        super().__init__()
        self.other = self.conv


class Reading(Net):
    """The convolution's weight is read elsewhere too."""

    def forward(self, x):
        return self.bn(self.conv(x)).mean((2, 3)) + self.conv.weight.abs().sum()


class Tracking(Net):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(4, track_running_stats=False)


def weight_normed():
    net = Net()
    net.conv = parametrizations.weight_norm(net.conv)
    return net


def pruned():
    net = Net()
    prune.random_unstructured(net.conv, "weight", 0.5)
    return net


@pytest.mark.parametrize("make", [Twice, Shared, Between, InPlace, Aliased, Tracking, weight_normed, pruned])
def test_leaves_alone_what_is_no_affine_map(make):
    model = lively(make())
    assert find_pairs(model, torch.rand(2, 3, 8, 8)) == []
    assert find_folding(model, torch.rand(2, 3, 8, 8), torch.float32) is None


def test_folding_that_would_change_the_logits_is_not_done():
    model = lively(Net())
    model.conv.register_forward_hook(lambda module, inputs, output: output + 1)  # seen by whoever calls the module
    assert find_folding(model, torch.rand(2, 3, 8, 8), torch.float32) is None
    model = lively(Reading())
    with lent(model):
        assert find_pairs(model, torch.rand(2, 3, 8, 8)) == [Pair("conv", "bn")]
    assert find_folding(model, torch.rand(2, 3, 8, 8), torch.float32) is None


def test_looking_leaves_the_model_as_it_was():
    model = BACKBONES["resnet18"][0]().train()
    before = copy.deepcopy(model.state_dict())
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    find_folding(model, torch.rand(2, 3, 16, 16), torch.bfloat16)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert hooks == [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_half_precision_rounds_the_folded_weights_once():
    model = lively(Net())
    folding = find_folding(model, torch.rand(2, 3, 8, 8), torch.bfloat16)
    exact = find_folding(model, torch.rand(2, 3, 8, 8), torch.float32)
    with lent(model), exact.in_place():
        weight = model.conv.weight
    with lent(model), folding.in_place():
        assert torch.equal(model.conv.weight, weight.bfloat16())

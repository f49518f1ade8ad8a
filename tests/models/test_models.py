"""Backbones, heads, normalisation, the wrapper, and what an attack may do to a model."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from srat.core.errors import UserError
from srat.core.members import choices
from srat.models import (
    Architecture,
    Classifier,
    CosineLinear,
    Head,
    ImageShape,
    Normalization,
    build,
    channel_statistics,
    lent,
)
from srat.models.backbones.hugging_face import HuggingFace
from srat.models.backbones.linear import Linear
from srat.models.backbones.preact_resnet import PreActResNet18
from srat.models.backbones.resnet import BasicBlock, ResNet18
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.backbones.wide_resnet import PreActivationBlock, WideResNet
from srat.models.heads import CosineHead, LinearHead, LossHead

ARCHITECTURES = [
    ResNet18(width=4),
    PreActResNet18(width=4),
    WideResNet(depth=10, widen=1),
    SmallCNN(width=4),
    Linear(),
    HuggingFace(architecture='{"model_type": "convnext", "hidden_sizes": [4, 8], "depths": [1, 1], "num_stages": 2}'),
]
ONE = torch.ones(3)


def make(architecture, head=None, channels=3, size=8, classes=4, **options):
    shape = ImageShape(channels=channels, height=size, width=size)
    statistics = {"mean": 0.4 * torch.ones(channels), "std": 0.2 * torch.ones(channels)}
    return build(architecture, head or LinearHead(), shape=shape, classes=classes, **statistics, **options)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_the_architectures_of_the_contract():
    of_version_0_1 = {"resnet18", "wide-resnet", "small-cnn", "linear"}
    assert set(choices(Architecture)) == of_version_0_1 | {"preact-resnet18", "hugging-face"}
    assert {a.name for a in ARCHITECTURES} == set(choices(Architecture))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: a.name)
class TestEveryArchitecture:
    @pytest.mark.parametrize(("channels", "size", "classes"), [(1, 8, 2), (3, 32, 10), (1, 28, 7), (3, 40, 100)])
    def test_follows_the_data(self, architecture, channels, size, classes):
        output = make(architecture, channels=channels, size=size, classes=classes).eval()(
            torch.rand(2, channels, size, size)
        )
        dimensions = architecture.backbone(ImageShape(channels=channels, height=size, width=size))[1]
        assert output.logits.shape == (2, classes)
        assert output.features.shape == (2, dimensions)
        assert output.embedding is output.features

    def test_logits_are_the_head_of_the_features(self, architecture, images):
        model = make(architecture).eval()
        output = model(images)
        torch.testing.assert_close(model.head(output.features), output.logits)

    def test_weights_depend_on_the_seed_alone(self, architecture):
        torch.manual_seed(99)
        one, two, other = (make(architecture, seed=seed).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(one[name], two[name]) for name in one)
        assert any(not torch.equal(one[name], other[name]) for name in one)

    def test_making_one_leaves_the_global_generator_alone(self, architecture):
        before = torch.get_rng_state()
        make(architecture)
        assert torch.equal(torch.get_rng_state(), before)

    def test_learns(self, architecture, images, labels):
        model = make(architecture).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for _ in range(30):
            loss = F.cross_entropy(model(images).logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("architecture", "sides"),
    [
        (ResNet18(width=4), [32, 32, 16, 16, 8, 8, 4, 4]),
        (PreActResNet18(width=4), [32, 32, 16, 16, 8, 8, 4, 4]),
        (WideResNet(depth=16, widen=1), [32, 32, 16, 16, 8, 8]),
    ],
    ids=lambda case: getattr(case, "name", ""),
)
def test_blocks_halve_the_image_where_the_published_network_does(architecture, sides):
    model, found = make(architecture, size=32).eval(), []
    for module in model.modules():
        if isinstance(module, BasicBlock | PreActivationBlock):
            module.register_forward_hook(lambda *of: found.append(of[2].shape[-1]))
    model(torch.rand(1, 3, 32, 32))
    assert found == sides


@pytest.mark.parametrize(
    ("architecture", "count"),
    # Parameters of the published networks: ResNet-18 for CIFAR 11,173,962; PreActResNet-18 11.17 M; WRN-28-10
    # 36,479,194 (36.5 M in its paper); WRN-34-10 46.16 M, without the second first stage that TRADES' code makes.
    [
        (ResNet18(), 11_173_962),
        (PreActResNet18(), 11_172_170),
        (WideResNet(depth=28), 36_479_194),
        (WideResNet(depth=34), 46_160_474),
    ],
)
def test_has_the_parameters_of_the_published_network(architecture, count):
    assert parameters(make(architecture, size=32, classes=10)) == count


def test_cosine_head_is_scaled_cosine_similarity(rng):
    head = CosineLinear(5, 3, scale=7.0)
    z = torch.randn(4, 5, generator=rng)
    expected = [[7 * F.cosine_similarity(row, w, dim=0).item() for w in head.weight] for row in z]
    assert head(z).tolist() == [pytest.approx(row, abs=1e-5) for row in expected]
    assert head(1000 * z).abs().max() <= 7 + 1e-5


def test_heads_resolve():
    assert LossHead().resolve(CosineHead(scale=3.0)) == CosineHead(scale=3.0)
    assert LinearHead().resolve(CosineHead(scale=3.0)) == LinearHead()
    assert set(choices(Head)) == {"auto", "cosine", "linear"}


def test_projection_is_seen_by_the_feature_loss_alone(images):
    model = make(SmallCNN(width=4), projection=6).eval()
    output = model(images)
    assert output.embedding.shape == (12, 6)
    torch.testing.assert_close(model.head(output.features), output.logits)


def test_normalisation_is_the_first_layer(rng):
    images = torch.rand(5, 2, 3, 3, generator=rng)
    out = Normalization(torch.tensor([0.2, 0.5]), torch.tensor([0.1, 2.0]))(images)
    torch.testing.assert_close(out[:, 0], (images[:, 0] - 0.2) / 0.1)
    torch.testing.assert_close(out[:, 1], (images[:, 1] - 0.5) / 2.0)


@pytest.mark.parametrize("kind", ["bytes", "unit"])
def test_channel_statistics_are_those_of_unit_images(rng, kind):
    unit = torch.randint(256, (50, 3, 4, 4), generator=rng) / 255
    images = (unit * 255).round().byte() if kind == "bytes" else unit
    mean, std = channel_statistics(images.split(7))
    torch.testing.assert_close(mean, unit.mean((0, 2, 3)))
    torch.testing.assert_close(std, unit.transpose(0, 1).flatten(1).std(1, correction=0))


def test_channel_statistics_of_a_constant_channel_divide_by_no_zero():
    assert channel_statistics([torch.zeros(3, 1, 2, 2)])[1].min() > 0


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, [m.training for m in model.modules()]


@pytest.mark.parametrize("mode", ["eval", "train_frozen_stats"])
class TestAttacked:
    def test_everything_comes_back(self, mode, images):
        model = make(SmallCNN(width=4)).train()
        model.backbone[1].eval()
        weights, modes = snapshot(model)
        with lent(model, mode) as served:
            served(images)
        after, modes_after = snapshot(model)
        assert all(torch.equal(weights[name], after[name]) for name in weights)
        assert modes == modes_after
        assert all(m.track_running_stats for m in model.modules() if isinstance(m, nn.BatchNorm2d))

    def test_everything_comes_back_after_an_error(self, mode, images):
        model = make(SmallCNN(width=4)).train()
        with pytest.raises(ZeroDivisionError), lent(model, mode):
            _ = 1 / 0
        assert all(m.training for m in model.modules())

    def test_uses_the_statistics_it_says(self, mode, images):
        model = make(SmallCNN(width=4)).train()
        for _ in range(3):
            model(images)
        reference = make(SmallCNN(width=4))
        reference.load_state_dict(model.state_dict())
        expected = reference.train(mode != "eval")(images).logits
        with lent(model, mode) as served:
            torch.testing.assert_close(served(images).logits, expected)


@pytest.mark.parametrize(
    "make_it",
    [
        lambda: ResNet18(width=0),
        lambda: PreActResNet18(width=1025),
        lambda: WideResNet(depth=27),
        lambda: WideResNet(widen=0),
        lambda: SmallCNN(width=0),
        lambda: CosineHead(scale=0.0),
    ],
)
def test_refuses_what_is_out_of_range(make_it):
    with pytest.raises(UserError, match="expected"):
        make_it()


@pytest.mark.parametrize(
    ("architecture", "widths", "blocks"),
    [(PreActResNet18(width=4), (4, 8, 16, 32), 2), (WideResNet(depth=16, widen=2), (32, 64, 128), 2)],
)
def test_a_pre_activation_network_by_hand(architecture, widths, blocks, rng):
    """The paper's network, from the weights in their order and torch's functions alone."""
    body = architecture.backbone(ImageShape(channels=3, height=16, width=16))[0].train()
    body(torch.rand(8, 3, 16, 16, generator=rng))
    weights = iter(tensor for name, tensor in body.eval().state_dict().items() if "num_batches" not in name)

    def activated(x):
        weight, bias, mean, variance = (next(weights) for _ in range(4))
        return F.relu(F.batch_norm(x, mean, variance, weight, bias))

    images = torch.rand(4, 3, 16, 16, generator=rng)
    x, inputs = F.conv2d(images, next(weights), padding=1), 16 if len(widths) == 3 else 4
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            first = activated(x)
            inner = F.conv2d(first, next(weights), stride=stride, padding=1)
            inner = F.conv2d(activated(inner), next(weights), padding=1)
            x = inner + (x if inputs == width else F.conv2d(first, next(weights), stride=stride))
            inputs = width
    features = activated(x).mean(dim=(2, 3))
    assert next(weights, None) is None
    torch.testing.assert_close(body(images), features, rtol=1e-4, atol=1e-5)


def test_a_residual_block_by_hand(rng):
    block = BasicBlock(2, 2, stride=1).eval()
    x = torch.randn(3, 2, 5, 5, generator=rng)
    inner = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
    torch.testing.assert_close(block(x), F.relu(inner + x))
    assert block(x).min() >= 0


@pytest.mark.parametrize("training", [False, True])
def test_the_served_logits_are_the_trained_ones(training, images):
    # The scale of a cosine head must not depend on the mode, or the attack would meet other logits.
    model = make(SmallCNN(width=4), CosineHead(scale=30.0)).train(training)
    output = model(images)
    cosines = F.normalize(output.features) @ F.normalize(model.head.weight).T
    torch.testing.assert_close(output.logits, 30 * cosines)


def test_a_classifier_is_made_of_its_parts():
    assert isinstance(make(Linear()), Classifier)


@pytest.mark.parametrize(
    ("architecture", "last"),
    [(ResNet18(width=8), False), (ResNet18(width=16), True), (SmallCNN(width=4), True), (WideResNet(depth=10), True)],
)
def test_channels_lie_together_but_where_onednn_would_write_past_its_memory(architecture, last):
    weights = [module.weight for module in make(architecture).backbone.modules() if isinstance(module, nn.Conv2d)]
    wide = [w for w in weights if min(w.shape) > 1]
    assert all(w.is_contiguous(memory_format=torch.channels_last) == last for w in wide)


def test_a_narrow_residual_network_learns_on_two_threads():
    """A strided 1 × 1 convolution of 8 channels, an odd batch: in channels-last memory the process would crash."""
    script = """
import torch
torch.set_num_threads(2)
from srat.models import ImageShape, build
from srat.models.heads import LinearHead
from srat.models.backbones.preact_resnet import PreActResNet18
from srat.models.backbones.resnet import ResNet18
one = torch.ones(1)
shape = ImageShape(channels=1, height=28, width=28)
model = build(ResNet18(width=8), LinearHead(), shape=shape, classes=10, mean=one, std=one)
for _ in range(4):
    model(torch.rand(33, 1, 28, 28)).logits.square().sum().backward()
print("done")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr[-500:]

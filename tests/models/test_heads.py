"""Heads: the cosine with γ against loops, and logits that are adjusted where they are served, wherever that is."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import srat
from srat.config.composition import compose
from srat.config.config import Config
from srat.config.doubts import doubts_of
from srat.core.errors import UserError
from srat.core.tensor_file import open_tensors
from srat.data import Dataset
from srat.data.imbalance import Step
from srat.losses import RoBal
from srat.models import CosineLinear, ImageShape, build, lent
from srat.models.backbones.linear import Linear
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.heads import CosineHead, LinearHead, LossHead
from srat.runs.folder import RunFolder
from srat.runtime.fabric import make_fabric
from srat.training.setting_up import set_up

COUNTS = (60, 30, 10)
SHAPE = ImageShape(channels=1, height=8, width=8)


def made(head, **options):
    one = torch.ones(1)
    return build(SmallCNN(width=2), head, shape=SHAPE, classes=3, mean=0 * one, std=one, **options)


@pytest.fixture
def images(rng):
    return torch.rand(5, 1, 8, 8, generator=rng)


class TestCosineWithGamma:
    def test_by_loops(self, rng):
        head, z = CosineLinear(5, 3, scale=7.0, gamma=0.25), torch.randn(4, 5, generator=rng)
        w = head.weight.detach()
        expected = [[(7 * (x @ v) / (x.norm() * (v.norm() + 0.25))).item() for v in w] for x in z]
        assert head(z).tolist() == [pytest.approx(row, abs=1e-5) for row in expected]

    def test_lengths_count_with_it_alone(self, rng):
        z = torch.randn(4, 5, generator=rng)
        for gamma in (0.0, 1 / 16):
            head = CosineLinear(5, 3, gamma=gamma)
            before = head(z)
            with torch.no_grad():
                head.weight *= 3
            assert torch.allclose(head(z), before, atol=1e-5) == (gamma == 0)

    def test_features_of_any_length_give_the_same(self, rng):
        head, z = CosineLinear(5, 3, gamma=1 / 32), torch.randn(4, 5, generator=rng)
        torch.testing.assert_close(head(100 * z), head(z))
        assert head(z).abs().max() < 30

    def test_starts_as_its_authors_does(self):
        weight = CosineLinear(400, 50, gamma=1 / 32).weight
        assert weight.abs().max() <= 1 / 20
        assert weight.std().item() == pytest.approx(1 / 20 / 3**0.5, rel=0.02)

    def test_a_class_weight_of_zero_has_a_gradient(self):
        head = CosineLinear(4, 2, gamma=1 / 32)
        with torch.no_grad():
            head.weight[0] = 0
        head(torch.ones(1, 4)).sum().backward()
        assert head.weight.grad.isfinite().all()
        assert head.weight.grad[0].abs().sum() > 0

    @pytest.mark.parametrize("gamma", [-0.1, 1.1])
    def test_refuses_what_is_out_of_range(self, gamma):
        with pytest.raises(UserError, match="gamma: expected 0 to 1"):
            CosineLinear(4, 2, gamma=gamma)
        with pytest.raises(UserError, match="`head.gamma`: expected 0 to 1"):
            CosineHead(gamma=gamma)


def test_the_loss_of_robal_gets_its_head():
    config = compose(method="ce", loss=RoBal(scale=16.0))
    assert config.head.resolve(config.loss.head) == CosineHead(scale=16.0, gamma=1 / 32)
    with pytest.raises(UserError, match=r"`head.scale` 1 and `loss.scale` 16 must be the same number"):
        replace(config, head=CosineHead(scale=1.0))


@pytest.mark.parametrize("head", [LinearHead(tau=0.7), CosineHead(scale=5.0, tau=0.7)], ids=lambda head: head.name)
class TestPosthocAdjustment:
    def test_the_served_logits_are_adjusted_and_the_trained_ones_are_not(self, head, images):
        model, plain = made(head, class_counts=COUNTS), made(replace(head, tau=0.0))
        z = plain.eval()(images).logits
        expected = z - 0.7 * torch.tensor([0.6, 0.3, 0.1]).log()
        torch.testing.assert_close(model.eval()(images).logits, expected)
        torch.testing.assert_close(model.train()(images).logits, plain.train()(images).logits)

    @pytest.mark.parametrize("mode", ["eval", "train_frozen_stats"])
    def test_every_attack_sees_what_is_served(self, head, mode, images):
        model, plain = made(head, class_counts=COUNTS).train(), made(replace(head, tau=0.0)).train()
        with lent(model, mode) as served, lent(plain, mode) as unadjusted:
            moved = served(images).logits - unadjusted(images).logits
        torch.testing.assert_close(moved, -0.7 * torch.tensor([0.6, 0.3, 0.1]).log().expand(5, 3))
        assert all(module.training for module in model.modules())

    def test_the_prior_goes_where_the_weights_go(self, head, images):
        model, other = made(head, class_counts=COUNTS).eval(), made(head, class_counts=(1, 1, 1), seed=1).eval()
        assert not torch.equal(model(images).logits, other(images).logits)
        other.load_state_dict(model.state_dict())
        assert torch.equal(model(images).logits, other(images).logits)

    def test_needs_a_count_of_each_class(self, head):
        with pytest.raises(UserError, match=r"`head.tau`: expected 0 without `class_counts`, got 0.7"):
            made(head)
        for counts in ((60, 40), (60, 40, 0)):
            with pytest.raises(UserError, match="class counts: expected"):
                made(head, class_counts=counts)


def test_rare_classes_gain():
    linear = made(LinearHead(tau=1.0), class_counts=COUNTS).eval()
    z = linear.head.layer(torch.zeros(1, linear.head.layer.in_features))
    gained = (linear.head(torch.zeros(1, linear.head.layer.in_features)) - z)[0].tolist()
    assert gained == sorted(gained)
    assert min(gained) > 0


def test_any_head_keeps_it():
    assert LossHead(tau=0.5).resolve(RoBal().head) == replace(RoBal().head, tau=0.5)
    config = replace(Config(), head=LossHead(tau=0.5))
    assert compose(config, head="linear").head == LinearHead(tau=0.5)
    assert Config.from_json(config.to_json()) == config
    assert config.id != Config().id
    assert replace(Config(), head=LossHead(tau=0.0)).id == Config().id


def test_without_it_nothing_stands_between():
    assert isinstance(made(LinearHead(), class_counts=COUNTS).head, nn.Linear)


def test_a_second_correction_is_said():
    config = replace(compose(method="ce", loss="bsl"), head=LossHead(tau=0.5))
    (doubt,) = doubts_of(config, (1, 8, 8), COUNTS)
    assert doubt.startswith("`head.tau` and `loss` balanced-softmax both correct for the classes' counts")
    for once in (compose(method="ce", loss="bsl"), replace(compose(method="ce"), head=LossHead(tau=0.5))):
        assert doubts_of(once, (1, 8, 8), COUNTS) == []


def small(**changes):
    config = compose(method="ce", epochs=1, batch_size=32, imbalance=Step(ratio=5, cap=20))
    attack = replace(config.attack, steps=1, step_size=0.1)
    return replace(config, model=SmallCNN(width=2), attack=attack, head=LossHead(tau=1.0), **changes)


def prior_of(config):
    images = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    train = Dataset(images, torch.tensor([0] * 30 + [1] * 10), ("a", "b"))
    return set_up(config, make_fabric("cpu"), train, None, None).module.head.log_prior.exp()


def test_the_prior_is_that_of_what_is_drawn():
    torch.testing.assert_close(prior_of(small()), torch.tensor([0.75, 0.25]))
    balanced = compose(small(), sampling="class-balanced")
    torch.testing.assert_close(prior_of(balanced), torch.tensor([0.5, 0.5]))


def test_runs_serve_it_from_files_exports_and_averages(tmp_path, images):
    config = compose(small(), averaging="ema")
    run = srat.fit(config, out=tmp_path / "run", device="cpu", compiled="off")
    counts = torch.tensor(srat.data_of(tmp_path / "run").train().counts)
    weights = open_tensors(RunFolder(tmp_path / "run").weights("last")).tensors()
    loaded = srat.load(tmp_path / "run")
    served = loaded(images).logits
    assert weights["head.log_prior"].shape == (10,)
    assert torch.equal(served, run.model.eval()(images).logits)
    z = loaded.head.layer(loaded(images).features)
    torch.testing.assert_close(served, z - loaded.head.log_prior)
    assert loaded.head.log_prior.exp().sum().item() == pytest.approx(1)
    assert loaded.head.log_prior.argsort().tolist()[-1] in counts.argsort().tolist()[-5:]
    srat.export_run(tmp_path / "run", to="torch-export")
    exported = torch.export.load(tmp_path / "run" / "model.pt2").module()
    torch.testing.assert_close(exported(images)[0], served)


def test_a_model_of_ones_own_is_not_adjusted():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    model = srat.models.wrap(net, mean=[0.5], std=[0.5])
    with pytest.raises(UserError, match=r"`head.tau`: expected 0 with a model of your own"):
        srat.fit(small(), model=model, device="cpu", compiled="off")


def test_logits_of_robal_have_one_scale_everywhere(images):
    """The authors' attack and evaluation see cosines, ten times flatter than the loss."""
    one, head = torch.ones(1), RoBal().head
    model = build(Linear(), head, shape=SHAPE, classes=3, mean=0 * one, std=one)
    trained = model.train()(images).logits
    with lent(model) as served:
        assert torch.equal(served(images).logits, trained)
    assert torch.equal(model.eval()(images).logits, trained)
    assert trained.abs().max() > 1

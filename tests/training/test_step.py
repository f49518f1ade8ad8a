"""Where members hook into the step: what robust losses compare, whose budgets, at which weights."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch.nn import functional as F

from srat.attacks import PGD
from srat.attacks.budgets import Budget
from srat.config.composition import compose
from srat.config.config import InnerMaximization
from srat.core.keyed_random import generator
from srat.data import Dataset
from srat.feature_losses import FeatureLoss, FeatureTerm
from srat.losses.cross_entropy_loss import CrossEntropy
from srat.models.backbones.small_cnn import SmallCNN
from srat.optimization.weight_perturbations import WeightPerturbation
from srat.robust_losses import RobustLoss
from srat.runtime.fabric import make_fabric
from srat.training.setting_up import set_up
from srat.training.step import train_step


def a_training(**changes):
    config = replace(
        compose(method="cb-reweight", batch_size=16),
        model=SmallCNN(width=2),
        attack=PGD(epsilon=0.1, step_size=0.05, steps=2),
        **changes,
    )
    images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return set_up(config, make_fabric("cpu"), Dataset(images, torch.arange(16) % 4, tuple("abcd")), None, None)


def step(training, stage=None):
    """Do a step in train mode; return the adversarial images of it."""
    seen = []
    real = training.config.attack.perturb

    @dataclass(frozen=True, kw_only=True)
    class Watched(PGD):
        def perturb(self, loss_at, images, *, generator, scale=None):
            seen.append((images, real(loss_at, images, generator=generator, scale=scale)))
            return seen[-1][1]

    watched = (stage or training.stage(0))._replace(attack=Watched(epsilon=0.1, step_size=0.05, steps=2))
    training.model.train()
    rng = partial(generator, 0)
    batch = training.feed.batch(torch.arange(16), rng("augment"))
    train_step(training, batch, watched, rng)
    return seen[0]


def weights(training):
    return torch.cat([parameter.detach().flatten() for parameter in training.module.parameters()])


SEEN = []


@dataclass(frozen=True, kw_only=True)
class Compared(RobustLoss):
    """KL(p(x) ‖ p(x')) in the attack; the prediction loss of x and twice that KL in the objective."""

    sees_clean: ClassVar[bool] = True
    attack_sees_clean: ClassVar[bool] = True

    def inner(self, logits, references):
        SEEN.append(("inner", references.clean.requires_grad))
        return self.kl(logits, references.clean)

    def outer(self, logits, references):
        SEEN.append(("outer", references.clean.requires_grad))
        return references.prediction(references.clean) + 2 * self.kl(logits, references.clean)

    def kl(self, logits, clean):
        return F.kl_div(logits.log_softmax(1), clean.log_softmax(1), log_target=True, reduction="none").sum(1)


def test_a_robust_loss_gets_the_clean_logits_of_attack_and_update():
    SEEN.clear()
    training, by_hand = a_training(robust_loss=Compared()), a_training()
    clean, adversarial = step(training)
    assert SEEN == [("inner", False), ("inner", False), ("outer", True)]
    by_hand.model.train()
    labels = by_hand.train.labels
    on_adversarial, on_clean = by_hand.module(adversarial).logits, by_hand.module(clean).logits
    losses = F.cross_entropy(on_clean, labels, reduction="none") + 2 * Compared().kl(on_adversarial, on_clean)
    w = by_hand.class_weights(0)[labels]
    ((w * losses).sum() / w.sum()).backward()
    by_hand.optimizer.step()
    torch.testing.assert_close(weights(training), weights(by_hand))


def test_the_clean_logits_of_the_attack_are_those_of_the_model_that_is_attacked():
    training = a_training(robust_loss=Compared())
    _, kl = step(training)
    _, ce = step(a_training())
    assert not torch.equal(kl, ce)


@dataclass(frozen=True, kw_only=True)
class Rising(Budget):
    """Class c of an epoch e has the budget c · e."""

    def scales(self, class_counts, epoch, *, epochs):
        return torch.arange(len(class_counts)) * epoch


@pytest.mark.parametrize("epoch", [0, 1])
def test_each_class_is_attacked_within_its_own_budget(epoch):
    training = a_training(budget=Rising())
    clean, adversarial = step(training, training.stage(epoch))
    reach = (adversarial - clean).abs().flatten(1).amax(dim=1)
    allowed = 0.1 * epoch * training.train.labels
    assert (reach <= allowed + 1e-6).all()
    assert (reach[allowed > 0] > 0.05).all() if epoch else (reach == 0).all()


@dataclass(frozen=True, kw_only=True)
class Ascended(WeightPerturbation):
    """The gradient is taken at w + g."""

    @contextmanager
    def perturbed(self, module, backward, *, epoch, epochs):
        backward()
        parameters = list(module.parameters())
        before = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            for parameter in parameters:
                parameter += parameter.grad
                parameter.grad = None
        yield
        with torch.no_grad():
            for parameter, was in zip(parameters, before, strict=True):
                parameter.copy_(was)


def test_the_gradient_is_taken_at_the_perturbed_weights_and_moves_the_ones_before():
    training, by_hand = a_training(weight_perturbation=Ascended()), a_training()
    _, adversarial = step(training)
    _, plain = step(a_training())
    assert torch.equal(adversarial, plain)  # which is made at the weights themselves
    by_hand.model.train()
    labels = by_hand.train.labels

    def loss():
        losses = F.cross_entropy(by_hand.module(adversarial).logits, labels, reduction="none")
        w = by_hand.class_weights(0)[labels]
        return (w * losses).sum() / w.sum()

    parameters = list(by_hand.module.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    up = torch.autograd.grad(loss(), parameters)
    with torch.no_grad():
        for parameter, g in zip(parameters, up, strict=True):
            parameter += g
    down = torch.autograd.grad(loss(), parameters)
    with torch.no_grad():
        for parameter, was, g in zip(parameters, before, down, strict=True):
            parameter.copy_(was)
            parameter.grad = g
    by_hand.optimizer.step()
    torch.testing.assert_close(weights(training), weights(by_hand))


def test_losses_are_told_of_what_a_balanced_epoch_draws():
    config = compose(method="cb-reweight", sampling="class-balanced", batch_size=16)
    labels = torch.tensor([0] * 12 + [1] * 3 + [2])
    data = Dataset(torch.rand(16, 1, 8, 8), labels, tuple("abc"))
    training = set_up(replace(config, model=SmallCNN(width=2)), make_fabric("cpu"), data, None, None)
    assert training.stage(0).class_counts.tolist() == [5, 5, 5]
    assert torch.equal(training.class_weights(0), torch.ones(3))
    assert training.train.counts == (12, 3, 1)


@dataclass(frozen=True, kw_only=True)
class Told(CrossEntropy):
    """Cross-entropy that notes the counts it is told."""

    def __call__(self, logits, labels, class_counts):
        SEEN.append(class_counts.tolist())
        return super().__call__(logits, labels, class_counts)


@dataclass(frozen=True, kw_only=True)
class ToldToo(FeatureLoss):
    """What a feature loss is told of the classes' counts, by the attack and by the objective."""

    def __call__(self, features, labels, memory=None, class_counts=None):
        SEEN.append(class_counts.tolist())
        return FeatureTerm(features.sum(dim=1), labels >= 0)


@pytest.mark.parametrize(("epoch", "counts"), [(0, [12, 3, 1]), (2, [9, 4, 3]), (4, [5, 5, 5])])
def test_losses_and_weights_are_told_of_each_epochs_own_draws(epoch, counts):
    config = compose(method="cb-reweight", sampling="progressive", batch_size=16, epochs=5)
    inner = InnerMaximization(loss="training", feature_weight=1.0)
    config = replace(config, model=SmallCNN(width=2), loss=Told(), feature_loss=ToldToo(), inner=inner)
    data = Dataset(torch.rand(16, 1, 8, 8), torch.tensor([0] * 12 + [1] * 3 + [2]), tuple("abc"))
    training = set_up(config, make_fabric("cpu"), data, None, None)
    stage = training.stage(epoch)
    SEEN.clear()
    step(training, stage)
    assert len(SEEN) > 3  # the attack is told, too, and each of the two losses
    assert all(seen == counts for seen in SEEN)
    assert torch.equal(stage.weights, config.weighting.weights(counts))


@pytest.mark.parametrize(
    ("name", "attacking", "learning"), [("standard", 2, 1), ("mixture", 2, 2), ("mart", 2, 2), ("trades", 3, 2)]
)
def test_a_step_asks_the_model_no_more_often_than_it_has_to(name, attacking, learning):
    training, seen = a_training(robust_loss=compose(robust_loss=name).robust_loss), []
    training.module.register_forward_pre_hook(lambda module, _: seen.append(module.training))
    step(training)
    assert (seen.count(False), seen.count(True)) == (attacking, learning)

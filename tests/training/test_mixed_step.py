"""A step with mixed images: each number that depends on a class is the mean of what it is for both classes."""

import copy
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from srat.attacks import PGD, Attack, Natural
from srat.attacks.budgets import CFA, Budget
from srat.attacks.pgd_margin import PGDMargin
from srat.config.composition import compose
from srat.core.keyed_random import generator
from srat.core.members import choices
from srat.data import Batch, Dataset, Targets
from srat.feature_losses import NoFeatureLoss
from srat.losses.base import Loss
from srat.models import lent
from srat.models.backbones.small_cnn import SmallCNN
from srat.optimization.averaging import EMA
from srat.robust_losses import TRADES, RobustLoss
from srat.robust_losses.base import References
from srat.runs.metrics import Sums
from srat.runtime.fabric import make_fabric
from srat.training.inner import inner_loss
from srat.training.memory_estimate import blank_batch
from srat.training.setting_up import set_up
from srat.training.step import references, train_step

A, B = torch.arange(16) % 4, torch.arange(16) // 4
SHARE = 0.3
PART = [(A, SHARE), (B, 1 - SHARE)]
TWO = Targets(A, B, SHARE)
SOFT = SHARE * F.one_hot(A, 4) + (1 - SHARE) * F.one_hot(B, 4)
IMAGES = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def a_training(**changes):
    config = compose(method="cb-reweight", batch_size=16, mixing="mixup")
    changes = {"attack": PGD(epsilon=0.1, step_size=0.05, steps=2)} | changes
    config = replace(config, model=SmallCNN(width=2), **changes)
    labels = torch.tensor([0] * 8 + [1] * 4 + [2] * 3 + [3])  # so that weights and offsets differ
    return set_up(config, make_fabric("cpu"), Dataset(IMAGES, labels, tuple("abcd")), None, None)


def stepped(training, targets=TWO, stage=None):
    """Do a step on mixed images in train mode; return its sums."""
    training.model.train()
    batch = Batch(IMAGES, targets, slice(0, 16))
    return Sums(*train_step(training, batch, stage or training.stage(0), partial(generator, 0)).tolist())


def weights(training):
    return torch.cat([parameter.detach().flatten() for parameter in training.module.parameters()])


@pytest.mark.parametrize(("name", "balanced"), [("cross-entropy", False), ("balanced-softmax", True)])
def test_it_learns_from_soft_targets_with_the_mean_of_both_weights(name, balanced):
    training, by_hand = (a_training(attack=Natural(), loss=compose(loss=name).loss) for _ in range(2))
    sums = stepped(training)
    w = SOFT @ training.class_weights(0)
    assert len(set(w.tolist())) > 4
    logits = by_hand.module.train()(IMAGES).logits
    offset = torch.tensor([8.0, 4.0, 3.0, 1.0]).log() if balanced else 0.0
    losses = F.cross_entropy(logits + offset, SOFT, reduction="none")
    value = (w * losses).sum() / w.sum()
    value.backward()
    by_hand.optimizer.step()
    torch.testing.assert_close(weights(training), weights(by_hand))
    assert sums.objective == pytest.approx(16 * value.item(), rel=1e-5)


def one_by_one(training, targets, logits, clean, teacher):
    """The losses of the examples, each by itself and for each of its classes."""
    config, counts = training.config, training.stage(0).class_counts

    def loss(i, label):
        one = slice(i, i + 1)
        label = label[None]
        compared = References(label, lambda z: config.loss(z, label, counts), clean[one], teacher[one])
        compared = compared._replace(weights=torch.ones(1), factors=torch.ones(1))
        return config.robust_loss.outer(logits[one], compared)

    return torch.cat([sum(part * loss(i, labels[i]) for labels, part in targets) for i in range(16)])


EACH = [name for name in choices(Loss) if not compose(loss=name).loss.sees_batch]


@pytest.mark.parametrize(
    ("name", "loss"),
    [*(("mart", loss) for loss in EACH), *((name, "ldam") for name in choices(RobustLoss) if name != "mart")],
)
def test_every_loss_is_that_of_each_image_by_itself(name, loss):
    chosen = compose(method="ce", loss=loss, robust_loss=name)
    training = a_training(loss=chosen.loss, head=chosen.head, robust_loss=chosen.robust_loss, averaging=EMA())
    batch, stage = Batch(IMAGES, TWO, slice(0, 16)), training.stage(0)
    rows = torch.randn(3, 16, 4, generator=torch.Generator().manual_seed(1))
    training.model.eval()
    clean = training.module(IMAGES).logits.detach()
    taught = rows[1] if chosen.robust_loss.sees_teacher else None
    compared = references(training, stage, batch, taught)
    got = TWO.mean(lambda labels: training.config.robust_loss.outer(rows[0], compared(labels)))
    torch.testing.assert_close(got, one_by_one(training, PART, rows[0], clean, rows[1]), rtol=1e-5, atol=1e-6)


def margins(logits, labels):
    others = logits.masked_fill(F.one_hot(labels, 4).bool(), -torch.inf)
    return others.amax(1) - logits.gather(1, labels[:, None])[:, 0]


def hard(logits, labels):
    return F.cross_entropy(logits, labels, reduction="none")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, lambda z: F.cross_entropy(z, SOFT, reduction="none")),
        ({"attack": PGDMargin()}, lambda z: sum(part * margins(z, labels) for labels, part in PART)),
        (
            {"loss": "focal", "inner": "training"},
            lambda z: sum(p * (1 - (-hard(z, y)).exp()) ** 2 * hard(z, y) for y, p in PART),
        ),
        ({"loss": "focal"}, lambda z: F.cross_entropy(z, SOFT, reduction="none")),
        ({"robust_loss": "mart"}, lambda z: F.cross_entropy(z, SOFT, reduction="none")),
    ],
    ids=["cross-entropy", "margin", "training", "not-training", "mart"],
)
def test_the_attack_makes_the_mean_of_both_large(changes, expected):
    training = a_training()
    config = training.config
    for family in ("loss", "robust_loss"):
        if family in changes:
            config = compose(config, **{family: changes[family]})
    if "loss" in changes:
        config = replace(config, loss=replace(config.loss, gamma=2.0))
    config = replace(config, attack=changes.get("attack", config.attack))
    config = replace(config, inner=replace(config.inner, loss=changes.get("inner", "cross-entropy")))
    training = replace(training, config=config)
    x = (IMAGES + 0.02).clamp(0, 1)
    with lent(training.module) as served:
        logits = served(x).logits
        got = inner_loss(training, training.stage(0), served, Batch(IMAGES, TWO, slice(0, 16)))(x)
    torch.testing.assert_close(got, expected(logits), rtol=1e-5, atol=1e-6)


def test_a_divergence_from_the_clean_image_knows_no_class():
    training = a_training(robust_loss=compose(robust_loss="trades").robust_loss)
    x = (IMAGES + 0.02).clamp(0, 1)
    with lent(training.module) as served:
        mixed, single = (
            inner_loss(training, training.stage(0), served, Batch(IMAGES, y, slice(0, 16)))(x)
            for y in (TWO, Targets(A))
        )
    torch.testing.assert_close(mixed, single)


@dataclass(frozen=True, kw_only=True)
class Rising(Budget):
    """Class c has the budget c."""

    def scales(self, class_counts, epoch, *, epochs):
        return torch.arange(len(class_counts))


def test_each_image_has_the_mean_of_both_budgets():
    training, seen = a_training(budget=Rising()), []

    @dataclass(frozen=True, kw_only=True)
    class Watched(PGD):
        def perturb(self, loss_at, images, *, generator, scale=None):
            seen.append(super().perturb(loss_at, images, generator=generator, scale=scale))
            return seen[-1]

    config = replace(training.config, attack=Watched(epsilon=0.1, step_size=0.05, steps=2))
    stepped(replace(training, config=config))
    reach = (seen[0] - IMAGES).abs().flatten(1).amax(dim=1)
    allowed = 0.1 * (SHARE * A + (1 - SHARE) * B)
    assert (reach <= allowed + 1e-6).all()
    assert (reach >= 0.4 * allowed).all()
    assert (reach[allowed > 0.2] > 0.1).any()


def test_the_numbers_of_an_epoch_count_both_classes_by_their_parts():
    training, partners = a_training(attack=Natural()), torch.full_like(A, 3)
    logits = copy.deepcopy(training.module).train()(IMAGES).logits
    sums = stepped(training, Targets(A, partners, SHARE))
    right = [SHARE * (A[i] == p) + (1 - SHARE) * (partners[i] == p) for i, p in enumerate(logits.argmax(dim=1))]
    assert sums.correct == pytest.approx(sum(right).item())
    assert 0 < sums.correct < 16
    assert training.under.tolist() == [False, False, True, True]
    assert sums.under == pytest.approx(16 * (1 - SHARE) + 8 * SHARE)
    assert sums.examples == 16
    assert stepped(a_training(attack=Natural()), Targets(A)).under == 8


@pytest.mark.parametrize(("share", "counted"), [(0.3, 3), (0.7, 0)])
def test_feedback_counts_the_class_of_the_larger_part(share, counted):
    training = a_training(budget=CFA())
    stepped(training, Targets(torch.zeros_like(A), torch.full_like(A, 3), share))
    assert training.parts["budget"].total.tolist() == [16 * (c == counted) for c in range(4)]


def test_a_share_of_one_is_as_if_nothing_were_mixed():
    changes = {"robust_loss": compose(robust_loss="mart").robust_loss, "budget": Rising()}
    mixed, plain = a_training(**changes), a_training(**changes)
    stepped(mixed, Targets(A, B, 1.0))
    stepped(plain, Targets(A))
    torch.testing.assert_close(weights(mixed), weights(plain), rtol=1e-5, atol=1e-7)


def test_both_orders_of_a_pair_are_the_same():
    one, other = a_training(), a_training()
    stepped(one, TWO)
    stepped(other, Targets(B, A, 1 - SHARE))
    torch.testing.assert_close(weights(one), weights(other), rtol=1e-5, atol=1e-7)


def test_the_estimate_of_memory_is_of_a_mixed_step():
    assert blank_batch(a_training(), 5).targets.partners is not None
    plain = a_training()
    plain = replace(plain, config=compose(plain.config, mixing="none"))
    assert blank_batch(plain, 5).targets.partners is None
    assert isinstance(plain.config.feature_loss, NoFeatureLoss)


@dataclass(frozen=True, kw_only=True)
class Shifted(Attack):
    """It makes every pixel brighter."""

    def perturb(self, loss_at, images, *, generator, scale=None):
        return (images + 0.2).clamp(0, 1)


def test_class_weights_of_mixed_images_leave_a_divergence_alone_where_they_are_the_predictions():
    chosen = TRADES(weighted="prediction", beta=50.0)
    training, by_hand = (a_training(robust_loss=chosen, attack=Shifted()) for _ in range(2))
    sums = stepped(training)
    w, model = SOFT @ training.class_weights(0), by_hand.module.train()
    adversarial, clean = (model(images).logits for images in ((IMAGES + 0.2).clamp(0, 1), IMAGES))
    between = F.kl_div(adversarial.log_softmax(1), clean.softmax(1), reduction="none").sum(1)
    losses = w * F.cross_entropy(clean, SOFT, reduction="none") + 50 * between
    assert sums.objective == pytest.approx(16 * (losses.sum() / w.sum()).item(), rel=1e-4)

"""What can hardly be meant of a configuration is said in a line, and what can be meant is not."""

import logging
from dataclasses import replace

import pytest
import torch

import srat
from srat.attacks import PGD
from srat.attacks.budgets import UniformBudget
from srat.config.composition import compose
from srat.config.config import InnerMaximization
from srat.config.doubts import doubts_of
from srat.core.members import choices
from srat.data.imbalance import Step
from srat.feature_losses import Separation
from srat.methods import methods
from srat.methods.before import Before
from srat.robust_losses import Distillation, References, RobustLoss

SHAPE, COUNTS = (1, 8, 8), (100, 60, 50, 40, 30, 20, 10, 9, 8, 5)
TRAINING = InnerMaximization(loss="training")


def doubted(**members):
    return doubts_of(compose(**{"method": "ce", **members}), SHAPE, COUNTS)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"method": "natural", "budget": "class-wise"}, "`budget` class-wise has nothing to change"),
        ({"method": "natural", "budget": UniformBudget(ramp=0.5)}, "`budget` uniform has nothing to change"),
        ({"epochs": 1, "budget": UniformBudget(ramp=0.8)}, "in a run of `epochs` 1 the balls never grow"),
        ({"method": "ldam", "head": "linear"}, "made for a cosine head of scale 30, not for `head` linear"),
        ({"method": "robal", "head": "linear"}, "`loss` robal is made for a cosine head"),
        ({"method": "trades", "inner": TRAINING}, "`inner.loss` training says nothing with `robust_loss` trades"),
        ({"method": "cfa", "inner": TRAINING}, "`inner.loss` training says nothing with `robust_loss` trades-calib"),
        (
            {"averaging": "ema", "robust_loss": Distillation(maximises="divergence"), "inner": TRAINING},
            "`inner.loss` training says nothing with `robust_loss` distillation",
        ),
        ({"augmentation": "crop-flip"}, "crop-flip mirrors images, and a mirrored image of `data` digits"),
        ({"attack": "pgd-margin", "inner": TRAINING}, "says nothing with `attack` pgd-margin"),
        ({"method": "natural", "inner": TRAINING}, "says nothing with `attack` natural"),
        ({"augmentation": "random-resized-crop", "data": "svhn"}, "a mirrored image of `data` svhn is no longer"),
        ({"method": "srat-ce", "model": "linear"}, "the features of `model` linear are the image"),
    ],
)
def test_is_said(members, said):
    (line,) = doubted(**members)
    assert said in line


@pytest.mark.parametrize(
    "members",
    [
        {"budget": "class-wise"},
        {"epochs": 2, "budget": UniformBudget(ramp=1.0)},
        {"method": "natural"},
        {"method": "natural", "budget": "class-wise", "before": Before(part=0.4, attack=PGD())},
        {"loss": "balanced-softmax", "head": "cosine"},
        {"inner": TRAINING},
        {"method": "mart", "inner": TRAINING},
        {"averaging": "ema", "robust_loss": "distillation", "inner": TRAINING},
        {"feature_loss": Separation(projection_dimensions=4), "model": "linear"},
        {"method": "srat-ce"},
        {"data": "svhn"},
        {"data": "fashion-mnist", "augmentation": "rand-augment"},
    ],
)
def test_is_not_said(members):
    assert doubted(**members) == []


@pytest.mark.parametrize("name", methods())
def test_no_method_is_doubtful(name):
    assert doubted(method=name, data="cifar10") == []


@pytest.mark.parametrize("name", choices(RobustLoss))
def test_who_attacks_by_the_prediction_loss_says_so(name):
    """One that does not makes the same of any prediction loss."""
    torch.manual_seed(0)
    robust, (logits, clean, teacher) = compose(robust_loss=name).robust_loss, torch.randn(3, 4, 5)
    found = [
        robust.inner(logits, References(torch.arange(4), lambda z, k=k: k * z.sum(1), clean, teacher)) for k in (1, 2)
    ]
    assert robust.attacks_prediction != torch.equal(*found)


def test_a_run_says_it_once(caplog):
    config = compose(method="ldam", head="linear", epochs=1, batch_size=64, imbalance=Step(ratio=5, cap=12))
    config = replace(config, attack=replace(config.attack, steps=3), evaluation=replace(config.evaluation, steps=3))
    with caplog.at_level(logging.WARNING, logger="srat"):
        srat.fit(config, device="cpu")
    assert sum("is made for a cosine head" in message for message in caplog.messages) == 1

"""Mistakes of the model; `planting` has them all."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from srat.attacks import PGD
from srat.config.composition import compose
from srat.core.errors import UserError
from srat.data import Dataset
from srat.losses import (
    cross_entropy,
)
from srat.models import Normalization, wrap
from srat.models.backbones.linear import Linear
from srat.models.heads import CosineHead
from srat.runtime.fabric import make_fabric
from srat.training import fitting

# 4. Normalised twice, or ε in normalised units.


def check_normalised_once(wrapped, model, images):
    mean, std = torch.full((3, 1, 1), 0.4), torch.full((3, 1, 1), 0.2)
    torch.testing.assert_close(wrapped.eval()(images).logits, model.eval()((images - mean) / std))


def test_4_normalised_once(model, images):
    statistics = {"mean": [0.4] * 3, "std": [0.2] * 3}
    check_normalised_once(wrap(model, **statistics), model, images)
    twice = wrap(model, **statistics).eval()
    twice(images)
    twice.backbone = nn.Sequential(Normalization(torch.full((3,), 0.4), torch.full((3,), 0.2)), twice.backbone)
    with pytest.raises(AssertionError):
        check_normalised_once(twice, model, images)


def test_4_a_model_that_normalises_already_is_refused(model):
    normalising = nn.Sequential(Normalization(torch.zeros(3), torch.ones(3)), model)
    with pytest.raises(UserError, match="normalise twice"):
        wrap(normalising, mean=[0.4] * 3, std=[0.2] * 3)


def test_4_budgets_are_in_pixel_units(model, images, labels, rng):
    wrapped = wrap(model, mean=[0.4] * 3, std=[0.2] * 3).eval()
    adversarial = PGD(epsilon=0.05)(lambda x: cross_entropy(wrapped(x).logits, labels), images, generator=rng)
    assert 0.04 < (adversarial - images).abs().max() <= 0.05 + 1e-6


# 37. A cosine head whose scale depends on who asks.


def check_one_scale(build_head=None):
    """The loss, the attack, the term that compares with clean images, and the evaluation see the same logits."""
    config = replace(compose(method="ce", loss="robal"), model=Linear())
    data = Dataset(torch.rand(16, 1, 8, 8), torch.arange(16) % 4, tuple("abcd"))
    training = fitting.set_up(config, make_fabric("cpu"), data, None, None)
    if build_head is not None:
        training.module.head = build_head(training.module.head)
    seen = {"loss": training.model.train()(data.images).logits}
    with training.lent() as served:
        seen["attack"] = served(data.images).logits
    seen["evaluation"] = training.kept.eval()(data.images).logits
    for logits in seen.values():
        torch.testing.assert_close(logits, seen["loss"])
    # And it is the scale that the loss takes its margins to be of.
    features, weight = training.module(data.images).features, training.module.head.weight
    cosines = F.normalize(features) @ (weight / (weight.norm(dim=1, keepdim=True) + 1 / 32)).T
    torch.testing.assert_close(seen["loss"], config.loss.scale * cosines)


class ScalesInTraining(nn.Module):
    """RoBal's: the loss scales, and nobody else does."""

    def __init__(self, head):
        super().__init__()
        self.head, self.weight = head, head.weight

    def forward(self, features):
        return self.head(features) / (1 if self.training else self.head.scale)


class NeverScales(ScalesInTraining):
    def forward(self, features):
        return self.head(features) / self.head.scale


@pytest.mark.parametrize("mistake", [ScalesInTraining, NeverScales])
def test_37_a_cosine_head_has_one_scale(mistake):
    check_one_scale()
    with pytest.raises(AssertionError):
        check_one_scale(mistake)
    with pytest.raises(UserError, match="must be the same number"):
        replace(compose(method="ce", loss="robal"), head=CosineHead(scale=1.0))

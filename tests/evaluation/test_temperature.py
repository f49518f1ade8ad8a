"""The temperature of probabilities."""

import math

import pytest
import torch
from scipy.optimize import minimize
from torch.nn.functional import cross_entropy

from srat.core.errors import UserError
from srat.evaluation.temperature import MOST, Temperature, fit_temperature


@pytest.fixture
def labels():
    return torch.arange(6000) % 3


@pytest.fixture
def logits(labels, rng):
    """Of a model that knows its labels up to noise: the true posterior, four times as sure as it should be."""
    means = 2 * torch.eye(3)[labels]
    seen = means + torch.randn(6000, 3, generator=rng)
    return 4 * 2 * seen  # log-densities of unit normals at 2e_k differ by 2x


def test_a_model_that_is_too_sure_is_cooled_as_much(logits, labels):
    found = fit_temperature(logits, labels)
    assert found.temperature == pytest.approx(4, rel=0.06)
    assert found.images == 6000
    assert found.after.log_loss < found.before.log_loss
    assert found.after.calibration_error < 0.5 * found.before.calibration_error


def test_it_is_where_another_search_finds_it(logits, labels):
    def loss(beta):
        return float(cross_entropy(logits.double() * float(beta[0]), labels))

    beta = minimize(loss, x0=[1.0], bounds=[(1e-3, 100)], tol=1e-12).x[0]
    assert fit_temperature(logits, labels).temperature == pytest.approx(1 / beta, rel=1e-3)


def test_each_class_counts_alike(rng):
    """Nine of ten images are of a class that the model is sure of, and right."""
    labels = (torch.arange(1000) >= 900).long()
    logits = torch.zeros(1000, 2)
    logits[:900, 0] = 9.0
    logits[900:, 1] = torch.where(torch.rand(100, generator=rng) < 0.6, 3.0, -3.0)
    right = (logits[900:, 1] > 0).double().mean()

    def by_class(temperature):
        scaled = logits.double() / temperature
        return sum(cross_entropy(scaled[labels == c], labels[labels == c]) for c in (0, 1)) / 2

    found = fit_temperature(logits, labels).temperature
    assert by_class(found) <= min(by_class(found * 1.01), by_class(found / 1.01))
    # All images alike would leave it surer than its rare class is right.
    assert 1 / (1 + math.exp(-3 / found)) < right + 0.2
    plain = min((float(cross_entropy(logits.double() / t, labels)), t) for t in torch.linspace(0.3, 5, 200).tolist())[1]
    assert abs(found - plain) > 0.2


def test_predictions_stay(logits, labels):
    found = fit_temperature(logits, labels)
    assert sum(each.right for each in found.after.bins) == sum(each.right for each in found.before.bins)
    assert found.after.auc == pytest.approx(found.before.auc, abs=0.05)


def test_a_model_that_is_never_right_is_cooled_as_far_as_it_goes(logits, labels):
    wrong = torch.where(torch.eye(3)[labels].bool(), -50.0, 50.0)
    assert fit_temperature(wrong, labels).temperature == MOST


def test_refuses_what_has_no_temperature(logits, labels):
    with pytest.raises(UserError, match="at least one image"):
        fit_temperature(logits[:0], labels[:0])
    logits[3, 1] = torch.nan
    with pytest.raises(UserError, match="finite"):
        fit_temperature(logits, labels)
    known = fit_temperature(logits[10:], labels[10:])
    with pytest.raises(UserError, match="temperature: expected 0.01 to 100"):
        Temperature(**vars(known) | {"temperature": 0.0})

"""The separation loss against Eq. 6 by loops, another library, and finite differences."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss
from torch.nn import functional as F

from refusals import refusing
from srat.core.errors import UserError
from srat.feature_losses import NoFeatureLoss, Separation, has_positive, separation
from srat.feature_losses import separation_loss as module
from srat.training.memory_estimate import Footprint


def by_loops(features, labels, temperature):
    """Eq. 6, letter by letter."""
    z = [(f / f.norm()).tolist() for f in features.double()]
    n = len(z)

    def similarity(i, j):
        return math.exp(sum(a * b for a, b in zip(z[i], z[j], strict=True)) / temperature)

    values = []
    for i in range(n):
        positives = [p for p in range(n) if p != i and labels[p] == labels[i]]
        denominator = sum(similarity(i, a) for a in range(n) if a != i)
        values.append(
            -sum(math.log(similarity(i, p) / denominator) for p in positives) / len(positives) if positives else 0.0
        )
    return values


@pytest.fixture
def features(rng):
    return torch.randn(16, 5, generator=rng, dtype=torch.float64)


@pytest.fixture
def labels():
    return torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 0, 1, 4, 0, 1])


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_is_equation_six(features, labels, temperature):
    assert separation(features, labels, temperature).tolist() == pytest.approx(
        by_loops(features, labels, temperature), abs=1e-12
    )


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_is_supcon_of_another_library(features, labels, temperature):
    # That library averages over the anchors that have a positive.
    expected = SupConLoss(temperature=temperature)(F.normalize(features, dim=1), labels)
    value = separation(features, labels, temperature)
    assert abs(value.sum() / has_positive(labels).sum() - expected) < 1e-6


def test_by_hand_for_two_pairs():
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    # Each anchor: its positive at similarity 1/τ, two others at 0.
    expected = -math.log(math.exp(10) / (math.exp(10) + 2))
    assert separation(z, torch.tensor([0, 0, 1, 1]), 0.1).tolist() == pytest.approx([expected] * 4)


def test_ignores_the_length_of_features(features, labels):
    scaled = features * torch.linspace(0.1, 9, len(features))[:, None]
    torch.testing.assert_close(separation(scaled, labels), separation(features, labels))


def test_without_normalisation_takes_inner_products(features, labels):
    unit = F.normalize(features, dim=1)
    torch.testing.assert_close(separation(unit, labels, normalize=False), separation(features, labels))
    assert not torch.allclose(separation(features, labels, normalize=False), separation(features, labels))


def test_its_settings_are_those_of_the_function(features, labels):
    ours = Separation(temperature=0.5, normalize=False)(features, labels).values
    torch.testing.assert_close(ours, separation(features, labels, 0.5, normalize=False))


def test_gradient(features, labels):
    assert torch.autograd.gradcheck(lambda z: separation(z, labels, 0.5), (features.requires_grad_(),))


def test_counts_the_anchors_that_have_a_positive(labels):
    expected = [sum((labels == y).tolist()) > 1 for y in labels]
    assert has_positive(labels).tolist() == expected
    term = Separation()(torch.randn(16, 5), labels)
    assert term.counts.tolist() == expected
    assert (term.values[~term.counts] == 0).all()


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_without_any_positive_is_zero_with_a_zero_gradient(batch):
    z = torch.randn(batch, 3, requires_grad=True)
    value = separation(z, torch.arange(batch))
    value.sum().backward()
    assert value.tolist() == [0.0] * batch
    assert z.grad.isfinite().all()
    assert z.grad.abs().max() == 0


def test_survives_features_that_are_zero():
    z = torch.zeros(4, 3, requires_grad=True)
    separation(z, torch.tensor([0, 0, 1, 1])).sum().backward()
    assert z.grad.isfinite().all()


def test_is_finite_in_float32_at_low_temperature(features, labels):
    assert separation(features.float(), labels, 0.01).isfinite().all()


def test_no_feature_loss_costs_nothing(features, labels):
    assert NoFeatureLoss()(features, labels) is None


def test_refuses_a_temperature_of_zero():
    with pytest.raises(UserError, match="temperature"):
        Separation(temperature=0.0)


def plain(features, labels, temperature=0.1):
    """The whole matrix of similarities at once."""
    z = F.normalize(features, dim=1)
    similarity = z @ z.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool)
    log_probability = similarity - similarity.masked_fill(itself, -1e30).logsumexp(dim=1, keepdim=True)
    positive = (labels[:, None] == labels) & ~itself
    return -log_probability.masked_fill(~positive, 0).sum(dim=1) / positive.sum(dim=1).clamp(min=1)


@pytest.mark.parametrize("at_once", [1, 37 * 5, 37 * 36, 37 * 37])
def test_in_parts_it_is_the_same(monkeypatch, rng, at_once):
    monkeypatch.setattr(module, "_CHUNK", at_once)
    features = torch.randn(37, 6, generator=rng, dtype=torch.float64, requires_grad=True)
    labels, upstream = torch.arange(37) % 9, torch.rand(37, generator=rng, dtype=torch.float64)
    gradients = []
    for loss in (plain, separation):
        values = loss(features, labels)
        gradients.append((values, *torch.autograd.grad((values * upstream).sum(), features)))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: separation(x, labels), features, fast_mode=True)


def test_a_large_batch_takes_little_memory_and_is_equal_to_the_plain_form(rng, monkeypatch):
    # In proportion 8,192 images of twice the dimensions, in as many parts.
    monkeypatch.setattr(module, "_CHUNK", module._CHUNK // 4)
    features = torch.randn(4096, 256, generator=rng, requires_grad=True)
    labels = torch.randint(10, (4096,), generator=rng)
    with Footprint() as footprint:
        separation(features, labels).sum().backward()
    assert footprint.peak < 6 * features.nbytes  # of the batch's square alone there would be 16
    few = features.detach()[:1024].requires_grad_()  # in two parts
    ways = []
    for loss in (separation, plain):
        values = loss(few, labels[:1024])
        ways.append((values, *torch.autograd.grad(values.sum(), few)))
    torch.testing.assert_close(*ways, rtol=1e-5, atol=1e-5)


def test_half_precision_features_are_compared_in_full(rng):
    features, labels = torch.randn(32, 8, generator=rng), torch.arange(32) % 4
    exact = separation(features, labels)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(separation(features, labels), exact)
    halves = features.bfloat16()
    assert torch.equal(separation(halves, labels), separation(halves.float(), labels))


def test_of_no_image_is_of_no_image():
    nothing = torch.zeros(0, 3, requires_grad=True)
    losses = separation(nothing, torch.zeros(0, dtype=torch.long))
    losses.sum().backward()
    assert losses.shape == (0,)
    assert nothing.grad.shape == (0, 3)


@pytest.mark.parametrize(
    ("value", "dtype", "normalize", "said"),
    [
        (math.nan, torch.float32, True, "expected finite numbers, got nan in row 2"),
        (math.inf, torch.float64, True, "expected finite numbers, got inf in row 2"),
        (1e30, torch.float32, True, r"expected numbers whose squares float32 holds, got 1e\+30 in row 2"),
        (1e19, torch.float32, False, r"expected numbers whose squares float32 holds, got 1e\+19 in row 2"),
        (1e200, torch.float64, True, r"expected numbers whose squares float64 holds, got 1e\+200 in row 2"),
    ],
)
def test_refuses_what_no_product_can_be_made_of(features, labels, value, dtype, normalize, said):
    features = features.to(dtype)
    features[2, 1] = value
    with pytest.raises(UserError, match=f"^features: {said}$"):
        separation(features, labels, normalize=normalize)


def test_takes_what_products_can_just_be_made_of(features, labels):
    large = (features * 1e15).float()
    assert separation(large, labels).tolist() == pytest.approx(separation(features, labels).tolist(), abs=1e-4)
    assert separation(features.half(), labels, normalize=False).isfinite().all()
    with refusing("temperature", 1e-40):
        separation(features, labels, 1e-40)


def test_training_does_not_look_at_features(features, labels, monkeypatch):
    def looked(*_):
        raise AssertionError

    for check in ("_check_products", "check_temperature", "has_positive", "separation"):
        monkeypatch.setattr(module, check, looked)
    term = Separation.__call__(_SEPARATION, features, labels)
    assert term.values.isfinite().all()


_SEPARATION = Separation()

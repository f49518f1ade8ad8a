"""Models that answer at random are attacked, and judged, by the mean of several answers."""

import math

import pytest
import torch
from torch import nn

import srat
from srat.attacks import PGD, Natural
from srat.core.errors import UserError
from srat.data import Dataset
from srat.evaluation.counts import Counts
from srat.evaluation.evaluate import examine
from srat.evaluation.expected import Expected, difference, expected, randomness


class Noisy(nn.Module):
    """Two classes: ±x₀ and noise, of each image, of the batch, or of both."""

    def __init__(self, of_image=0.0, of_batch=0.0):
        super().__init__()
        self.of_image, self.of_batch, self.calls = of_image, of_batch, 0

    def forward(self, images):
        self.calls += 1
        x = images[:, 0, 0, 0] - 0.5
        if self.of_image:
            x = x + self.of_image * torch.randn(len(x))
        if self.of_batch:
            x = x + self.of_batch * torch.randn(())
        return torch.stack((-x, x), dim=1)


def of_pixels(values):
    return torch.as_tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()


IMAGES = torch.linspace(0, 1, 40)
LABELS = (IMAGES > 0.5).long()


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (Noisy(), "none"),
        (Noisy(of_image=0.1), "by-image"),
        (Noisy(of_batch=0.1), "by-batch"),
        (Noisy(of_image=0.1, of_batch=0.1), "by-batch"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.Dropout(0.5)), "none"),  # which is asked in eval mode
        (Expected(Noisy(of_image=0.1)), "none"),
    ],
)
def test_finds_out_what_is_drawn(model, kind):
    with torch.random.fork_rng():
        for seed in range(20):
            torch.manual_seed(seed)
            assert randomness(model, of_pixels(IMAGES)) == kind


def test_a_model_that_does_not_draw_is_served_as_it_is():
    model, state = Noisy(), torch.random.get_rng_state()
    examined = examine(
        model, Dataset(of_pixels(IMAGES), LABELS, ("a", "b")), PGD(epsilon=0.1, step_size=0.05, steps=3), seed=0
    )
    before, model.calls = model.calls, 0
    result = srat.evaluate(model, of_pixels(IMAGES), LABELS, attack=PGD(epsilon=0.1, step_size=0.05, steps=3))
    assert torch.equal(result.outcome.broken_at, examined.broken_at)
    assert "draws" not in result.attack
    assert model.calls == before + 3  # one look at the first logits, as ever, and one probe of two
    assert expected(model, "none", tell=pytest.fail) is model
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_the_mean_is_over_so_many_answers(one_by_one):
    images, state = of_pixels(torch.full((200,), 0.7)), torch.random.get_rng_state()
    model = Expected(Noisy(of_image=1.0), draws=4, one_by_one=one_by_one)
    x = model(images)[:, 1]
    assert float(x.mean()) == pytest.approx(0.2, abs=4 * 0.5 / math.sqrt(200))
    assert float(x.std()) == pytest.approx(0.5, rel=0.2)  # σ / √4
    assert torch.equal(model(images)[:, 1], x)
    assert not torch.equal(model.of(1)(images)[:, 1], x)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_draws_of_a_batch_are_made_for_each_image(one_by_one):
    x = Expected(Noisy(of_batch=1.0), draws=4, one_by_one=one_by_one)(of_pixels(torch.full((50,), 0.5)))[:, 1]
    assert (float(x.std()) > 0.3) == one_by_one


def test_the_gradient_is_that_of_the_mean():
    images = of_pixels([0.3, 0.6]).requires_grad_()
    logits = Expected(nn.Sequential(nn.Flatten(), Always(nn.Dropout(0.5)), ones(4)), draws=200)(images)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), images)
    assert gradient.unique().numel() > 2  # of masks of its own at each place
    assert float(gradient.mean()) == pytest.approx(1, abs=0.15)


def ones(n):
    linear = nn.Linear(n, 2, bias=False)
    nn.init.ones_(linear.weight)
    return linear


class Always(nn.Module):
    """Dropout that is kept at inference."""

    def __init__(self, dropout):
        super().__init__()
        self.p = dropout.p

    def forward(self, x):
        return nn.functional.dropout(x, self.p, training=True)


class Shattered(nn.Module):
    """A linear model of 64 pixels whose gradient of a single draw is mostly noise."""

    def forward(self, images):
        x = images.flatten(1) - 0.5
        weight = 1 + 6 * torch.randn(len(x), 64)
        z = (x * weight).mean(dim=1)
        return torch.stack((-z, z), dim=1)


def test_attacks_see_through_the_noise():
    images = torch.full((40, 1, 8, 8), 0.5) + 0.1 * (torch.arange(40)[:, None, None, None] % 2 * 2 - 1)
    labels, attack = torch.arange(40) % 2, PGD(epsilon=0.2, step_size=0.04, steps=10, random_start=False)
    dataset = Dataset(images, labels, ("a", "b"))

    def accuracy_at(draws):
        with pytest.warns(UserWarning, match=f"answers at random: attacks see the mean of {draws} of its answers"):
            return srat.evaluate(Shattered(), images, labels, attack=attack, draws=draws).accuracy.accuracy

    held = Expected(Shattered(), draws=100, seed=5)
    clean = examine(held, dataset, Natural(), seed=0).survived.float().mean()
    assert clean > 0.9
    assert accuracy_at(50) < 0.1


def test_a_longer_attack_breaks_nothing_by_luck():
    model, images = Noisy(of_image=0.3), of_pixels(IMAGES)

    class Deaf(nn.Module):
        def forward(self, x):
            return model(images[:1].expand(len(x), -1, -1, -1) + 0.4 + 0 * x)

    dataset = Dataset(images, torch.ones(40, dtype=torch.int64), ("a", "b"))
    served = Expected(Deaf(), draws=2)
    clean, attacked = (
        examine(served, dataset, each, seed=0) for each in (Natural(), PGD(epsilon=0.1, step_size=0.01, steps=50))
    )
    assert 0 < int(clean.survived.sum()) < 40
    assert torch.equal(clean.survived, attacked.survived)


def test_batches_have_draws_of_their_own():
    images = of_pixels(torch.full((60,), 0.55))
    dataset = Dataset(images, torch.ones(60, dtype=torch.int64), ("a", "b"))
    found = examine(Expected(Noisy(of_image=1.0), draws=1), dataset, Natural(), seed=0, batch_size=20).survived
    parts = found.split(20)
    assert not torch.equal(parts[0], parts[1])
    assert not torch.equal(parts[1], parts[2])
    again = examine(Expected(Noisy(of_image=1.0), draws=1), dataset, Natural(), seed=0, batch_size=20).survived
    assert torch.equal(found, again)


@pytest.mark.parametrize("of", ["of_image", "of_batch"])
def test_intervals_cover_the_randomness_of_the_model(of):
    """The truth is over images and draws: P(right) = E Φ(√draws · lead / σ), the lead uniform in [−0.1, 0.4]."""
    n, draws, sigma, times, covered = 40, 2, 0.5, 80, 0
    leads = torch.linspace(-0.1, 0.4, 10_001).double()
    truth = float(torch.special.ndtr(math.sqrt(draws) * leads / sigma).mean())
    rng = torch.Generator().manual_seed(0)
    for seed in range(times):
        lead = 0.5 * torch.rand(n, generator=rng) - 0.1
        dataset = Dataset(of_pixels(0.5 + lead), torch.ones(n, dtype=torch.int64), ("a", "b"))
        served = expected(Noisy(**{of: sigma}), KINDS[of], draws=draws, seed=seed, tell=lambda _: None)
        found = examine(served, dataset, Natural(), seed=seed, batch_size=20)
        interval = Counts.of(found.survived, dataset.labels, 2).accuracy()
        covered += interval.low <= truth <= interval.high
    assert covered / times >= 0.875  # 0.95, less three standard errors


KINDS = {"of_image": "by-image", "of_batch": "by-batch"}


def test_there_is_at_least_a_draw():
    with pytest.raises(UserError, match="`draws`: expected at least 1, got 0"):
        srat.evaluate(Noisy(of_image=0.1), of_pixels(IMAGES), LABELS, draws=0)


def test_numbers_that_are_none_are_not_random():
    one = torch.tensor([[1.0, torch.nan], [torch.inf, 2.0]])
    assert difference(one, one.clone()) == 0
    assert difference(one, torch.tensor([[1.5, torch.nan], [torch.inf, 2.0]])) == 1.0
    assert difference(one, torch.tensor([[1.0, 0.0], [torch.inf, 2.0]])) == torch.inf
    assert difference(torch.full((2, 2), torch.nan), torch.full((2, 2), torch.nan)) == 0

"""Intervals that hold at any stop, against integrals, exact expectations and simulation."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from scipy.special import betaln

from srat.core.errors import UserError
from srat.statistics.anytime import WEIGHT, anytime_interval, anytime_worst, log_mixture
from srat.statistics.intervals import wilson

SIMULATIONS, LONGEST = 2_000, 2_000


@pytest.mark.parametrize(("x", "n", "p"), [(3, 10, 0.2), (0, 7, 0.01), (40, 50, 0.5), (9, 9, 0.97)])
def test_the_mixture_is_an_integral(x, n, p):
    prior = scipy.stats.beta(WEIGHT * p + 0.5, WEIGHT * (1 - p) + 0.5)
    found, _ = scipy.integrate.quad(lambda q: prior.pdf(q) * (q / p) ** x * ((1 - q) / (1 - p)) ** (n - x), 0, 1)
    assert log_mixture(x, n, p) == pytest.approx(math.log(found), abs=1e-6)


@pytest.mark.parametrize(("x", "n", "p"), [(3, 10, 0.2), (0, 0, 0.3), (40, 50, 0.5)])
def test_it_is_a_martingale(x, n, p):
    after = p * math.exp(log_mixture(x + 1, n + 1, p)) + (1 - p) * math.exp(log_mixture(x, n + 1, p))
    assert after == pytest.approx(math.exp(log_mixture(x, n, p)))
    assert log_mixture(0, 0, p) == pytest.approx(0)


@pytest.mark.parametrize("truth", [(0.1, 0.5, 0.9), (0.3, 0.3, 0.3), (0.0, 0.2, 0.1)])
def test_a_round_of_classes_does_not_raise_it(truth):
    """Of images of several classes, one of each: what is expected of a round is no more than there was."""
    p = sum(truth) / len(truth)
    for x, n in ((0, 0), (10, 30), (3, 60)):
        after = 0.0
        for answers in itertools.product((0, 1), repeat=len(truth)):
            chance = math.prod(t if right else 1 - t for t, right in zip(truth, answers, strict=True))
            after += chance * math.exp(log_mixture(x + sum(answers), n + len(truth), p))
        assert after <= math.exp(log_mixture(x, n, p)) * (1 + 1e-9)


@pytest.mark.parametrize(("x", "n"), [(3, 10), (0, 20), (20, 20), (300, 1_000), (1, 500)])
def test_the_interval_is_all_that_is_not_contradicted(x, n):
    found = anytime_interval(x, n)
    grid = np.linspace(1e-4, 1 - 1e-4, 1_001)
    inside = (found.low <= grid) & (grid <= found.high)
    assert inside.tolist() == [log_mixture(x, n, p) < math.log(20) for p in grid.tolist()]
    assert 0 <= found.low <= x / n == found.accuracy <= found.high <= 1
    assert (found.low == 0) == (x == 0)


def test_it_is_hardly_wider_than_needed():
    for n, most in ((100, 1.65), (1_000, 1.65), (10_000, 1.8)):
        for p in (0.02, 0.3, 0.8):
            one, fixed = anytime_interval(p * n, n), wilson(p * n, n)
            assert 1.4 < (one.high - one.low) / (fixed.high - fixed.low) < most


def ever_above(correct, p, limit):
    """How often the mixture beside the true accuracy ever comes to a limit, over all numbers of images."""
    n = np.arange(1, correct.shape[1] + 1)
    a, b = WEIGHT * p + 0.5, WEIGHT * (1 - p) + 0.5
    mixed = betaln(a + correct, b + n - correct) - betaln(a, b)
    return float(((mixed - correct * np.log(p) - (n - correct) * np.log1p(-p)).max(axis=1) >= limit).mean())


@pytest.mark.parametrize("p", [0.03, 0.3, 0.7])
def test_it_holds_at_all_numbers_at_once_where_a_fixed_one_does_not(p):
    right = np.random.default_rng(0).random((SIMULATIONS, LONGEST)) < p
    correct = right.cumsum(axis=1)
    assert ever_above(correct, p, math.log(20)) <= 0.05
    # The mistake: to stop as soon as Wilson's interval leaves the truth out.
    n = np.arange(1, LONGEST + 1)
    off = np.abs(correct - n * p) > 1.96 * np.sqrt(n * p * (1 - p))
    assert off[:, 99:].any(axis=1).mean() > 0.2


def test_it_holds_where_its_own_width_stops_it():
    """Of rounds of four classes, at the first look at which it is narrow."""
    rng, truth = np.random.default_rng(1), np.array([0.05, 0.2, 0.4, 0.9])
    held, taken = 0, []
    for _ in range(200):
        correct = rng.binomial(10, truth, (200, 4)).sum(axis=1).cumsum()
        for look, right in enumerate(correct.tolist(), start=1):
            found = anytime_interval(right, 40 * look)
            if found.high - found.low <= 0.2:
                break
        held += found.low <= truth.mean() <= found.high
        taken.append(40 * look)
    assert held >= 0.95 * 200
    fixed = 1.96**2 * truth.mean() * (1 - truth.mean()) / 0.1**2
    assert np.mean(taken) < 4 * fixed


def test_the_worst_class_is_within_its_interval():
    truth, rng, held = np.array([0.3, 0.32, 0.6]), np.random.default_rng(2), 0
    for _ in range(100):
        found = anytime_worst(rng.binomial(200, truth).tolist(), [200] * 3)
        held += found.accuracy.low <= 0.3 <= found.accuracy.high
    assert held >= 95
    one = anytime_worst([5, 190, 0], [200, 200, 0])
    assert (one.number, one.others) == (0, ())
    assert one.accuracy.low == anytime_interval(5, 200, 0.025).low
    assert one.accuracy.high == anytime_interval(5, 200, 0.0125 * 0.975).high


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((6, 5), "correct: expected 0 to 5, got 6"),
        ((1, -5), "total: expected 0 or more, got -5"),
        ((1, 5, 1.0), "alpha: expected more than 0 and less than 1, got 1"),
    ],
)
def test_numbers_that_cannot_be_are_refused(given, said):
    with pytest.raises(UserError) as error:
        anytime_interval(*given)
    assert str(error.value) == said


def test_without_images_nothing_is_known():
    assert anytime_interval(0, 0)[1:] == (0.0, 1.0)

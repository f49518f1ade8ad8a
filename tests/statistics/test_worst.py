"""The worst class's interval, against exact probabilities, naive search and simulation."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from simulated import CLASSES, TRUTHS, worst_class

from srat.core.errors import UserError
from srat.report.wording import told_from, worst_text
from srat.statistics.worst import SIDE, lower_bounds, upper_bounds, worst_of

COUNTS = st.lists(
    st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=8
)


@pytest.mark.parametrize(("x", "n"), [(0, 1), (1, 1), (0, 50), (7, 50), (50, 50), (399, 400)])
@pytest.mark.parametrize("alpha", [0.025, 1e-4])
def test_bounds_are_scipys(x, n, alpha):
    exact = scipy.stats.binomtest(x, n).proportion_ci(1 - 2 * alpha, "exact")
    assert lower_bounds(np.array([x * 1.0]), np.array([n * 1.0]), alpha)[0] == pytest.approx(exact.low, abs=1e-9)
    assert upper_bounds(np.array([x * 1.0]), np.array([n * 1.0]), alpha)[0] == pytest.approx(exact.high, abs=1e-9)


def by_search(correct, totals):
    """The largest m that no class contradicts, of a fine grid, by its definition."""
    there = [(x, n) for x, n in zip(correct, totals, strict=True) if n]
    lows = [scipy.stats.binomtest(x, n).proportion_ci(0.95, "exact").low for x, n in there]

    grid = np.linspace(min(lows), 1, 2_001)
    levels = SIDE * (1 - SIDE) / sum((low <= grid).astype(int) for low in lows)
    stand = np.all([scipy.stats.binom.cdf(x, n, grid) >= levels for x, n in there], axis=0)
    return min(lows), grid[stand].max()


def test_the_interval_is_what_its_definition_says():
    rng = np.random.default_rng(0)
    for classes in (1, 2, 5):
        for _ in range(4):
            totals = rng.integers(5, 80, classes)
            correct = rng.binomial(totals, rng.uniform(0.1, 0.9, classes))
            low, high = by_search(correct.tolist(), totals.tolist())
            found = worst_of(correct.tolist(), totals.tolist()).accuracy
            assert found.low == pytest.approx(low, abs=1e-9)
            assert found.high == pytest.approx(high, abs=1e-3)


def test_a_class_of_few_images_may_be_the_worst():
    found = worst_of([30, 3, 90], [100, 8, 100])
    assert (found.number, found.others) == (0, (1,))
    assert found.accuracy.low == lower_bounds(np.array([3.0]), np.array([8.0]), SIDE)[0]
    assert found.accuracy.high == upper_bounds(np.array([30.0]), np.array([100.0]), SIDE * (1 - SIDE) / 2)[0]
    above = worst_of([20, 32], [100, 100])
    assert above.accuracy.high < 0.32
    assert above.others == (1,)  # it may be as low, though it is not here


@given(COUNTS)
def test_the_worst_is_the_lowest_and_within_its_interval(counts):
    correct, totals = map(list, zip(*counts, strict=True))
    found = worst_of(correct, totals)
    there = {c: x / n for c, (x, n) in enumerate(counts) if n}
    if not there:
        assert (found.number, found.accuracy[1:], found.others) == (0, (0.0, 1.0), ())
        return
    assert found.number == min(there, key=there.__getitem__)
    assert found.accuracy.accuracy == there[found.number]
    assert 0 <= found.accuracy.low <= found.accuracy.accuracy <= found.accuracy.high <= 1
    assert set(found.others) <= there.keys() - {found.number}
    assert all(there[one] <= there[other] for one, other in itertools.pairwise(found.others))


def test_it_covers_exactly_where_all_can_be_counted():
    """Two classes of thirty: the sum of the probabilities of all outcomes whose interval holds."""
    found = {pair: worst_of(list(pair), [30, 30]).accuracy for pair in itertools.product(range(31), repeat=2)}
    for truth in ((0.3, 0.3), (0.3, 0.4), (0.3, 0.8), (0.9, 0.9), (0.05, 0.07)):
        one, other = (scipy.stats.binom.pmf(np.arange(31), 30, p) for p in truth)
        held = sum(one[a] * other[b] for (a, b), got in found.items() if got.low <= min(truth) <= got.high)
        assert held >= 0.95


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("each", [100, 1_000])
def test_it_covers(classes, each):
    for kind in TRUTHS:
        found = worst_class(200, classes, each, kind)
        assert found["holds"] >= 0.94, kind
        assert found["named"] >= 0.94, kind
        assert found["wider"] < 1.65, kind
        if kind in ("one", "two") and each == 1_000:
            assert found["wider"] < 1.15, kind  # what is far off costs nothing
            assert found["others"] < 1.1 * (kind == "two") + 0.1, kind
        if (kind, classes) == ("equal", 100):
            assert found["naive"] < 0.2  # the mistake: as if the class had been chosen beforehand


def test_words_say_how_sure_it_is():
    names = ("cat", "dog", "ship", "truck", "frog")
    assert worst_text(worst_of([10, 90, 90, 90, 90], [100] * 5), names) == "cat (clearly below all others)"
    assert worst_text(worst_of([12, 10, 90, 90, 90], [100] * 5), names) == "dog (cat cannot be told from it)"
    assert told_from(worst_of([12, 10, 13, 90, 90], [100] * 5), names) == "cat and ship cannot be told from it"
    assert told_from(worst_of([12, 10, 13, 14, 15], [100] * 5), names) == "4 others cannot be told from it"


def test_numbers_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="correct: expected 0 to 5 of 5 images, got 6"):
        worst_of([6], [5])
    with pytest.raises(UserError, match="correct: expected 2 numbers, got 1"):
        worst_of([1], [5, 5])

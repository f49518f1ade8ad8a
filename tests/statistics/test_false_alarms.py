"""How often comparisons of equal methods raise a false alarm, many at a time."""

import numpy as np
import pytest
import scipy.stats
from simulated import alarms

from srat.statistics.intervals import Sum, sum_of_counts, weighted_sum, z_at
from srat.statistics.paired import paired_difference


@pytest.mark.parametrize(("seeds", "each", "pairs"), [(1, 100, 40), (2, 100, 80), (3, 60, 30), (5, 60, 30)])
def test_families_of_comparisons_raise_few_false_alarms(seeds, each, pairs):
    # Of one seed it is about these two models: they are told apart wherever the seed makes a difference.
    family, single = alarms(pairs, seeds=seeds, each=each, of_seed=0.0 if seeds == 1 else 0.5)
    assert family <= 0.05 + 2 * (0.05 * 0.95 / pairs) ** 0.5
    assert single <= 0.06


def test_differences_are_still_found():
    assert alarms(8, seeds=3, each=100, of_seed=0.1, better=1.5)[0] == 1
    assert alarms(8, seeds=2, each=100, of_seed=0.1, better=1.5)[1] > 0.25  # single ones, of two seeds


def test_seeds_that_agree_by_rounding_are_no_certainty():
    """Ten more of 100 images in both seeds: t of one degree of freedom, of numbers rounded to hundredths."""
    first, second = (np.tile(np.arange(100) < right, (2, 1)) for right in (50, 60))
    of_seeds = (1 / 12 / 2) ** 0.5 / 100
    least = 2 * scipy.stats.t.sf(0.1 / of_seeds, 1)
    assert least < paired_difference(first, second).p < 2 * least
    # Nothing that stands a correction for 26.
    assert least > 0.05 / 26


def test_the_p_of_a_sum_is_students():
    counts, totals = [[40, 60], [52, 48], [45, 55]], [100, 100]
    for p in (0.05, 1e-3):
        found = sum_of_counts((1.0, -1.0), counts, totals, p=p)
        spread = np.std([-0.2, 0.04, -0.1], ddof=1)
        reach = scipy.stats.t.isf(p / 2, 2) * np.sqrt((spread**2 + 2 / 12 / 100**2) / 3)
        z = scipy.stats.norm.isf(p / 2)
        assert z_at(p) == pytest.approx(z)
        # Wilson's interval, solved for: |p − x| = z √(p (1 − p) / n).
        parts = []
        for x in (np.mean([0.4, 0.52, 0.45]), np.mean([0.6, 0.48, 0.55])):
            ends = np.roots([1 + z * z / 100, -2 * x - z * z / 100, x * x])
            parts.append(Sum(float(x), float(min(ends)), float(max(ends))))
        images = weighted_sum((1.0, -1.0), parts)
        assert found.low == pytest.approx(found.value - np.hypot(found.value - images.low, reach))
        assert found.high == pytest.approx(found.value + np.hypot(images.high - found.value, reach))

"""Means over classes of uneven test sets: what they are, how sure, and which differences are real."""

import numpy as np
import pytest

from srat.evaluation.comparison import CLASS_MEAN, OVERALL, Contender, compare, means_of
from srat.evaluation.counts import Counts
from srat.evaluation.groups import groups
from srat.statistics.intervals import mean_of_class_means, mean_over_seeds
from srat.statistics.paired import mcnemar, paired_difference, paired_difference_of_means, score_interval

SIZES = np.array([400, 150, 60, 30, 15])
LABELS = np.repeat(np.arange(5), SIZES)
SIMULATIONS = 600


def plain(function):
    """Return a function without the check of its arguments, which takes longer than it does."""
    return getattr(function, "__wrapped__", function)


def drawn(rng, seeds, levels, *, of_seed=0.0):
    """Return which images models get right: a share of each class, which differs by the seed."""
    logits = np.log(levels / (1 - np.asarray(levels))) + of_seed * rng.standard_normal((seeds, 5))
    return rng.random((seeds, len(LABELS))) < (1 / (1 + np.exp(-logits)))[:, LABELS]


def test_it_is_the_mean_of_the_classes():
    counts = Counts(correct=(90, 3, 0, 7), total=(100, 4, 0, 10))
    assert counts.uneven
    assert counts.balanced().accuracy == pytest.approx((0.9 + 0.75 + 0.7) / 3) == pytest.approx(counts.macro())
    assert counts.balanced().low < counts.macro() < counts.balanced().high


def test_of_even_classes_it_is_the_accuracy():
    counts = Counts(correct=(90, 3, 0), total=(100, 100, 0))
    assert not counts.uneven
    assert counts.balanced() == counts.accuracy()


def test_it_stays_within_what_accuracies_can_be():
    assert Counts(correct=(5, 1), total=(5, 1)).balanced().high == 1.0
    assert Counts(correct=(0, 0), total=(5, 1)).balanced().low == 0.0


def test_its_interval_covers():
    rng, levels = np.random.default_rng(0), np.array([0.9, 0.7, 0.5, 0.3, 0.2])
    held = 0
    for correct in rng.binomial(SIZES, levels, size=(SIMULATIONS, 5)):
        low, high = Counts(correct=tuple(correct.tolist()), total=tuple(SIZES.tolist())).balanced()[1:]
        held += low <= levels.mean() <= high
    assert 0.93 <= held / SIMULATIONS <= 0.98


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_what_all_seeds_miss_is_not_certain(seeds):
    """A class of three images says little, however many models miss all of them."""
    labels = np.repeat(np.arange(11), [1000, *[3] * 10])
    survived = np.zeros((seeds, len(labels)), dtype=bool)
    survived[:, :500] = True
    mean = mean_of_class_means(survived, labels)
    assert mean.accuracy == pytest.approx(0.5 / 11)
    assert mean.high > 0.15
    nothing = mean_of_class_means(np.zeros((seeds, 3), dtype=bool), np.array([0, 0, 1]))
    assert (nothing.accuracy, nothing.low) == (0.0, 0.0)
    assert nothing.high > 0.3


@pytest.mark.parametrize("seeds", [2, 4])
def test_over_seeds_it_covers(seeds):
    rng, held = np.random.default_rng(1), 0
    for _ in range(SIMULATIONS):
        mean = plain(mean_of_class_means)(drawn(rng, seeds, [0.5] * 5, of_seed=0.3), LABELS)
        held += mean.low <= 0.5 <= mean.high
    assert held / SIMULATIONS >= 0.94


def test_of_one_class_it_is_that_of_all_images():
    rng = np.random.default_rng(2)
    first, second = rng.random((2, 3, 80)) < 0.5
    of_one = np.zeros(80, dtype=np.int64)
    assert paired_difference_of_means(first, second, of_one) == pytest.approx(paired_difference(first, second))
    alone = paired_difference_of_means(first[:1], second[:1], of_one)
    only = int((first[0] & ~second[0]).sum()), int((second[0] & ~first[0]).sum())
    assert (alone.low, alone.high) == pytest.approx(score_interval(*only, 80), abs=0.01)
    assert alone.p == pytest.approx(mcnemar(*only), abs=0.1)
    assert mean_of_class_means(first[:1], of_one).accuracy == pytest.approx(mean_over_seeds(first[:1]).accuracy)


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_equal_methods_are_rarely_told_apart(seeds):
    rng, ps = np.random.default_rng(3), []
    for _ in range(SIMULATIONS // 2):
        levels = [0.9, 0.6, 0.5, 0.4, 0.3]
        pair = (drawn(rng, seeds, levels, of_seed=0.2 * (seeds > 1)) for _ in range(2))
        ps.append(plain(paired_difference_of_means)(*pair, LABELS).p)
    assert 0.005 < np.mean(np.array(ps) < 0.05) <= 0.075


def test_a_difference_on_the_small_classes_is_found_where_all_images_hide_it():
    first, second = np.ones((1, len(LABELS)), dtype=bool), np.ones((1, len(LABELS)), dtype=bool)
    first[:, LABELS == 4] = False
    first[:, LABELS == 3] = False
    second[:, :45] = False
    assert paired_difference(first, second).p == 1.0
    found = paired_difference_of_means(first, second, LABELS)
    assert found.difference == pytest.approx((2 - 45 / 400) / 5)
    assert found.low > 0
    assert found.p < 1e-3
    assert (found.p < 0.05) == (found.low > 0)


def test_the_p_of_seeds_is_where_the_interval_ends():
    rng = np.random.default_rng(4)
    for _ in range(20):
        found = paired_difference_of_means(drawn(rng, 3, [0.5] * 5), drawn(rng, 3, [0.6] * 5), LABELS)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_a_class_of_one_image_says_little():
    labels = np.array([0] * 200 + [1])
    first, second = np.ones((3, 201), dtype=bool), np.ones((3, 201), dtype=bool)
    first[:, -1] = False
    assert paired_difference_of_means(first, second, labels).p > 0.05


class TestCompared:
    CLASSES = tuple("abcde")

    def rows(self, labels):
        right = np.arange(len(labels)) % 3 > 0
        one, two = (
            Contender(name=name, seeds=(0,), survived={"pgd-20": np.roll(right, by)[None]})
            for by, name in enumerate(("x", "y"))
        )
        return compare(one, [two], labels, self.CLASSES, groups((5, 4, 3, 2, 1)))[0], one

    def test_uneven_classes_have_a_mean_among_what_is_compared(self):
        rows, one = self.rows(LABELS)
        assert [row.scope for row in rows[:2]] == [OVERALL, CLASS_MEAN]
        assert rows[1].images == len(LABELS)
        assert not rows[1].is_class
        means = means_of(one, "pgd-20", LABELS, self.CLASSES, groups((5, 4, 3, 2, 1)))
        assert means[1][1].accuracy == rows[1].first.accuracy != rows[0].first.accuracy

    def test_even_ones_have_none(self):
        rows, _ = self.rows(np.arange(50) % 5)
        assert CLASS_MEAN not in [row.scope for row in rows]

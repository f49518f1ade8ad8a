"""Intervals over seeds, paired differences, and what they say, against closed forms, naive loops and simulation."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from srat.core.errors import UserError
from srat.evaluation.comparison import OVERALL, Contender, compare, means_of
from srat.evaluation.groups import COMMON, RARE, grouped, groups
from srat.report.wording import caveat, sentences
from srat.statistics import intervals
from srat.statistics.intervals import (
    Z95,
    Sum,
    crossed_variances,
    mean_of_counts,
    mean_of_estimates,
    mean_over_seeds,
    p_of,
    sum_of_counts,
    t95,
    weighted_sum,
    wilson,
)
from srat.statistics.paired import _score, holm, mcnemar, paired_difference, score_interval

SIMULATIONS = 2_000


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_scipys(b, c):
    expected = scipy.stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected, abs=1e-12)


@pytest.fixture
def unchecked(monkeypatch):
    """Formulas without the look at their arguments, which takes most of the time of thousands of calls."""
    for room in (vars(intervals), globals()):
        for name, formula in {**room}.items():
            if getattr(formula, "__module__", "") == intervals.__name__ and hasattr(formula, "__wrapped__"):
                monkeypatch.setitem(room, name, formula.__wrapped__)


def test_score_interval_is_the_published_one():
    # Airway reactivity in 21 children, of whom 1 and 7 changed: Fagerland, Lydersen and Laake, 2014.
    assert score_interval(7, 1, 21) == (pytest.approx(-0.517, abs=5e-4), pytest.approx(-0.026, abs=5e-4))


def likeliest(b, c, n, delta):
    """The probability of "only the first", by search: the largest likelihood under a difference."""

    def minus_log(q):
        cells = ((b, q), (c, q + delta), (n - b - c, 1 - 2 * q - delta))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in cells)

    low, high = max(0.0, -delta), (1 - delta) / 2
    return scipy.optimize.minimize_scalar(minus_log, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x


@pytest.mark.parametrize(("b", "c", "n"), [(7, 1, 21), (40, 20, 160), (0, 5, 50), (3, 3, 1000), (900, 1100, 10_000)])
def test_score_is_that_of_the_likelihood_found_by_search(b, c, n):
    for delta in (-0.3, -0.05, 0.01, 0.2):
        q = likeliest(b, c, n, delta)
        expected = (c - b - n * delta) / math.sqrt(n * (2 * q + delta - delta * delta))
        assert _score(b, c, n, delta) == pytest.approx(expected, rel=1e-3)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))))
def test_score_interval_ends_where_the_score_is_z(counts):
    b, c, n = counts
    if b + c > n:
        return
    low, high = score_interval(b, c, n)
    assert -1 <= low <= (c - b) / n <= high <= 1
    for end in {low, high} - {-1.0, 1.0}:
        assert abs(_score(b, c, n, end)) == pytest.approx(Z95, abs=1e-6)
    assert score_interval(c, b, n) == (pytest.approx(-high, abs=1e-9), pytest.approx(-low, abs=1e-9))


def test_crossed_variances_by_loops():
    values = np.random.default_rng(0).normal(size=(4, 7)) + np.arange(7) + 3 * np.arange(4)[:, None]
    seeds, images = values.shape
    mean = sum(values[s][i] for s in range(seeds) for i in range(images)) / (seeds * images)
    by_seed = [sum(values[s]) / images for s in range(seeds)]
    by_image = [sum(values[s][i] for s in range(seeds)) / seeds for i in range(images)]
    ms_seeds = images * sum((m - mean) ** 2 for m in by_seed) / (seeds - 1)
    ms_images = seeds * sum((m - mean) ** 2 for m in by_image) / (images - 1)
    rest = sum((values[s][i] - by_seed[s] - by_image[i] + mean) ** 2 for s in range(seeds) for i in range(images))
    ms_rest = rest / ((seeds - 1) * (images - 1))
    got = crossed_variances(values)
    assert got.images == pytest.approx(ms_images / (seeds * images))
    assert got.seeds == pytest.approx(ms_seeds / (seeds * images))
    assert got.rest == pytest.approx(ms_rest / (seeds * images))
    assert got.spread == pytest.approx(np.std(by_seed, ddof=1))


def test_one_seed_is_wilson():
    survived = np.arange(100)[None] < 37
    mean = mean_over_seeds(survived)
    assert mean[:3] == pytest.approx(wilson(37, 100))
    assert math.isnan(mean.spread)


def test_seeds_that_agree_are_as_good_as_one():
    survived = np.tile(np.arange(100) < 37, (5, 1))
    mean = mean_over_seeds(survived)
    assert mean.spread == 0
    assert mean[:3] == pytest.approx(wilson(37, 100), abs=2e-3)
    nothing = mean_over_seeds(np.zeros((3, 50), dtype=bool))
    assert nothing[:3] == pytest.approx(wilson(0, 50))


def answers(rng, seeds, images, *, level=0.0, of_image=3.0, of_seed=0.1):
    """Which of some models gets which image right: images differ much, models by their seed."""
    logit = level + of_image * rng.standard_normal(images) + of_seed * rng.standard_normal((seeds, 1))
    return rng.random((seeds, images)) < 1 / (1 + np.exp(-logit))


def coverage(intervals, truth):
    return np.mean([low <= truth <= high for low, high in intervals])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("p", [0.1, 0.3, 0.62])
def test_wilson_covers_exactly(p):
    ends = [wilson(correct, 500)[1:] for correct in range(501)]
    weights = scipy.stats.binom.pmf(np.arange(501), 500, p)
    assert 0.94 <= sum(w for w, (low, high) in zip(weights, ends, strict=True) if low <= p <= high) <= 0.96


@pytest.mark.parametrize(("p", "images"), [(0.45, 10_000), (0.19, 5_000)])
def test_wilson_covers(p, images):
    found = np.random.default_rng(0).binomial(images, p, SIMULATIONS)
    assert 0.94 <= coverage([wilson(int(correct), images)[1:] for correct in found], p) <= 0.96


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("seeds", "images", "of_seed"),
    [(2, 2000, 0.2), (3, 2000, 0.15), (10, 1000, 0.2)],
)
def test_the_interval_over_seeds_covers(seeds, images, of_seed):
    rng = np.random.default_rng(1)
    truth = 0.5  # images and seeds are as often hard as easy
    found = [mean_over_seeds(answers(rng, seeds, images, of_seed=of_seed))[1:3] for _ in range(SIMULATIONS)]
    assert 0.94 <= coverage(found, truth) <= 0.985
    # The mistake: as if the models had images of their own, or as if there were no other seeds.
    naive = [
        wilson(
            round(mean_over_seeds(answers(rng, seeds, images, of_seed=of_seed))[0] * seeds * images), seeds * images
        )[1:]
        for _ in range(200)
    ]
    assert coverage(naive, truth) < 0.8


def test_mcnemars_false_alarms():
    rng = np.random.default_rng(2)
    alarms = []
    for _ in range(SIMULATIONS):
        b, c, _ = rng.multinomial(1000, (0.03, 0.03, 0.94))
        alarms.append(mcnemar(int(b), int(c)) < 0.05)
    assert 0.02 < np.mean(alarms) <= 0.05


@pytest.mark.parametrize("of_seed", [0.05, 0.2])
def test_false_alarms_over_seeds(of_seed):
    rng = np.random.default_rng(3)
    ps = []
    for _ in range(SIMULATIONS // 2):
        of_image = 3 * rng.standard_normal(500) + rng.standard_normal((2, 1, 500))
        logits = of_image + of_seed * rng.standard_normal((2, 3, 1))
        first, second = rng.random((2, 3, 500)) < 1 / (1 + np.exp(-logits))
        ps.append(paired_difference(first, second).p)
    assert 0.01 < np.mean(np.array(ps) < 0.05) <= 0.055


def test_paired_interval_covers():
    rng = np.random.default_rng(4)
    counts = rng.multinomial(1000, (0.04, 0.06, 0.9), size=SIMULATIONS // 2)
    found = [score_interval(int(b), int(c), 1000) for b, c, _ in counts]
    assert 0.94 <= coverage(found, 0.02) <= 0.96


def test_the_p_over_seeds_is_where_the_interval_ends_at_zero():
    rng = np.random.default_rng(5)
    first, second = answers(rng, 4, 300), answers(rng, 4, 300, level=0.3)
    d = paired_difference(first, second)
    found = crossed_variances(second.astype(float) - first)
    of_images = max(0, found.images - found.rest)
    z, t = scipy.stats.norm.ppf(1 - d.p / 2), scipy.stats.t.ppf(1 - d.p / 2, 3)
    of_seeds = found.seeds + 1 / 12 / 4 / 300**2  # what rounding to images takes from it
    assert math.sqrt(z * z * of_images + t * t * of_seeds) == pytest.approx(abs(d.difference), rel=1e-6)
    assert (d.p < 0.05) == (d.low > 0 or d.high < 0)
    assert paired_difference(first, first).p == pytest.approx(1.0)


@pytest.mark.parametrize("change", [0, 1, 3])
def test_no_spread_over_seeds_is_no_certainty(change):
    first = np.tile(np.arange(100) < 50, (3, 1))
    second = np.tile(np.arange(100) < 50 + change, (3, 1))
    assert paired_difference(first, second).p > 0.05


def test_models_that_agree_on_all_images_may_differ_on_others():
    answers_ = np.tile(np.arange(100) < 50, (3, 1))
    reach = Z95**2 / (100 + Z95**2)
    assert paired_difference(answers_, answers_) == pytest.approx((0, -reach, reach, 1))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


LABELS = np.repeat(np.arange(4), 100)
CLASSES = ("a", "b", "c", "d")
GROUPS = groups((90, 80, 5, 4))


def contender(name, right, seeds=1):
    """Gets so many of each class right, the first ones."""
    one = np.concatenate([np.arange(100) < n for n in right])
    return Contender(name=name, seeds=tuple(range(seeds)), survived={"pgd-20": np.tile(one, (seeds, 1))})


def test_comparisons_by_hand():
    one, two = contender("one", (90, 80, 10, 20)), contender("two", (90, 70, 40, 20))
    (rows,) = compare(one, [two], LABELS, CLASSES, GROUPS)
    assert [row.scope for row in rows] == [OVERALL, COMMON, RARE, *CLASSES]
    found = {row.scope: row for row in rows}
    assert (found[OVERALL].only_first, found[OVERALL].only_second, found[OVERALL].images) == (10, 30, 400)
    assert found[OVERALL].difference.difference == pytest.approx(0.05)
    assert found[RARE].difference.difference == pytest.approx(0.15)
    assert found["b"].difference.p == mcnemar(10, 0)
    assert found["a"].difference.p == 1.0
    assert [row.corrected for row in rows] == holm([row.difference.p for row in rows])
    assert found["c"].told_apart
    assert not found["a"].told_apart


def test_the_correction_is_for_all_pairs():
    one, two, three = (contender(name, (90, 80, 10, n)) for name, n in (("one", 20), ("two", 27), ("three", 20)))
    (alone,) = compare(one, [two], LABELS, CLASSES, GROUPS)
    both, _ = compare(one, [two, three], LABELS, CLASSES, GROUPS)
    assert both[0].difference == alone[0].difference
    assert both[0].corrected > alone[0].corrected > both[0].difference.p


def test_sentences_say_what_follows_and_what_does_not():
    one, two = contender("one", (90, 80, 10, 20)), contender("two", (88, 70, 60, 20))
    (rows,) = compare(one, [two], LABELS, CLASSES, GROUPS)
    said = sentences(rows, "one", "two")
    assert said[0].startswith("pgd-20, overall: two is better (+9.5 points [")
    assert said[1].startswith("pgd-20, rare: two is better (+25.0 points")
    assert said[2] == "pgd-20, by class: two is better on c and worse on b; the other classes show no clear difference."
    (rows,) = compare(one, [contender("two", (88, 80, 12, 20))], LABELS, CLASSES, GROUPS)
    said = sentences(rows, "one", "two")
    assert len(said) == 2
    assert "no clear difference between two and one (+0.0 points [" in said[0]
    assert "with another seed" in caveat(1)
    assert caveat(3).startswith("3 seeds of each")


def test_means_by_scope():
    rows = means_of(contender("one", (90, 80, 10, 20), seeds=3), "pgd-20", LABELS, CLASSES, GROUPS)
    assert [scope.name for scope, _ in rows[:3]] == [OVERALL, COMMON, RARE]
    assert [mean.accuracy for _, mean in rows[:3]] == pytest.approx([0.5, 0.85, 0.15])


def test_comparisons_by_other_groups():
    one, two = contender("one", (90, 80, 10, 20)), contender("two", (90, 70, 40, 20))
    (rows,) = compare(one, [two], LABELS, CLASSES, grouped("thirds", (90, 80, 5, 4), CLASSES))
    found = {row.scope: row.difference.difference for row in rows if not row.is_class}
    assert found == pytest.approx({OVERALL: 0.05, "head": -0.05, "middle": 0.3, "tail": 0.0})
    said = sentences(rows, "one", "two")
    assert [line.split(":")[0] for line in said[1:4]] == [f"pgd-20, {name}" for name in ("head", "middle", "tail")]


def test_what_has_no_images_is_left_out():
    (rows,) = compare(contender("one", (90, 80, 10)), [contender("two", (90, 80, 10))], LABELS[:300], CLASSES, GROUPS)
    assert [row.scope for row in rows if row.is_class] == ["a", "b", "c"]
    of_common = compare(contender("one", (90, 80)), [contender("two", (90, 80))], LABELS[:200], CLASSES, GROUPS)
    assert [row.scope for row in of_common[0]] == [OVERALL, COMMON, "a", "b"]
    assert not any("under" in said for said in sentences(of_common[0], "one", "two"))


def test_a_class_of_one_image():
    labels = np.array([0] * 50 + [1])
    groups_ = groups((9, 1))
    right = np.ones((3, 51), dtype=bool)
    wrong = right.copy()
    wrong[1:, -1] = False
    one, two = (
        Contender(name=name, seeds=(0, 1, 2), survived={"pgd-20": each}) for name, each in (("a", right), ("b", wrong))
    )
    (rows,) = compare(one, [two], labels, ("x", "y"), groups_)
    found = {row.scope: row for row in rows}["y"]
    assert found.second.accuracy == pytest.approx(1 / 3)
    assert (found.difference.p, found.difference.low, found.difference.high) == (1.0, -1.0, 1.0)


def test_a_class_may_be_called_as_a_group_is():
    names = ("overall", "b", "rare", "d")
    (rows,) = compare(contender("one", (90, 80, 10, 20)), [contender("two", (90, 70, 60, 20))], LABELS, names, GROUPS)
    said = sentences(rows, "one", "two")
    assert [line.split(":")[0] for line in said] == [
        "pgd-20, overall",
        "pgd-20, rare",
        "pgd-20, by class",
    ]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("level", "of_seed"), [(-5.0, 0.3), (-3.0, 0.1)])
def test_the_interval_over_seeds_where_little_is_right(level, of_seed):
    rng = np.random.default_rng(6)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    truth = (weights / (1 + np.exp(-(level + np.hypot(3.0, of_seed) * nodes)))).sum() / weights.sum()
    found = [mean_over_seeds(answers(rng, 5, 2000, level=level, of_seed=of_seed))[1:3] for _ in range(SIMULATIONS // 2)]
    assert 0.93 <= coverage(found, truth) <= 0.97


class TestCountsAlone:
    def test_of_one_seed_it_is_wilsons(self):
        assert mean_of_counts([37], 100)[:3] == wilson(37, 100)
        assert math.isnan(mean_of_counts([37], 100).spread)

    @given(st.lists(st.integers(40, 360), min_size=2, max_size=5), st.integers(0, 2**32 - 1))
    def test_is_no_narrower_than_from_the_images_themselves(self, correct, seed):
        rng = np.random.default_rng(seed)
        survived = np.zeros((len(correct), 400), dtype=bool)
        for row, count in zip(survived, correct, strict=True):
            row[rng.choice(400, count, replace=False)] = True
        of_images, of_counts = mean_over_seeds(survived), mean_of_counts(correct, 400)
        assert of_counts.accuracy == pytest.approx(of_images.accuracy)
        assert of_counts.spread == pytest.approx(of_images.spread)
        # But for the n − 1 of the images' variance.
        assert of_counts.low <= of_images.low + 1e-4
        assert of_counts.high >= of_images.high - 1e-4

    def test_of_two_seeds_by_hand(self):
        variance = 0.25 / 100 + (t95(1) / Z95) ** 2 * 0.02 / 2  # 0.02 is the variance of 0.4 and 0.6
        effective = 0.25 / variance
        assert mean_of_counts([40, 60], 100)[:3] == pytest.approx(wilson(effective / 2, effective))

    def test_seeds_that_agree_leave_the_images_uncertainty(self):
        assert mean_of_counts([50, 50, 50], 200)[:3] == pytest.approx(wilson(50, 200))
        assert mean_of_counts([0, 0], 200)[:3] == pytest.approx(wilson(0, 200))

    def test_without_images_nothing_is_known(self):
        assert mean_of_counts([0, 0], 0)[1:3] == (0.0, 1.0)


def of_counts(*counts):
    return Sum(*wilson(*counts))


class TestSums:
    def test_a_difference_is_newcombes_published_one(self):
        # Method 10 of Newcombe, 1998, Table II: 56/70 − 48/80, and 9/10 − 3/10.
        for one, other, low, high in (((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090)):
            found = weighted_sum((1.0, -1.0), [of_counts(*counts) for counts in (one, other)])
            assert found.low == pytest.approx(low, abs=5e-5)
            assert found.high == pytest.approx(high, abs=5e-5)

    def test_one_term_is_itself(self):
        part = Sum(0.3, 0.2, 0.5)
        assert weighted_sum((2.0,), (part,)) == pytest.approx((0.6, 0.4, 1.0))
        assert weighted_sum((-1.0,), (part,)) == pytest.approx((-0.3, -0.5, -0.2))
        assert sum_of_counts((1.0,), [[37]], [100]) == pytest.approx(of_counts(37, 100))

    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (3, 0.0), (2, 0.06), (5, 0.06)])
    def test_a_gap_is_covered_as_often_as_it_says(self, seeds, spread):
        """Of one model's two groups: a seed that favours one costs the other."""
        rng, n, truth = np.random.default_rng(0), 1_000, 0.7 - 0.3
        covered = 0
        for _ in range(SIMULATIONS):
            shift = rng.normal(0, spread, size=seeds)
            counts = np.stack([rng.binomial(n, 0.7 + shift), rng.binomial(n, 0.3 - shift)], axis=1)
            found = sum_of_counts((1.0, -1.0), counts.tolist(), (n, n))
            covered += found.low <= truth <= found.high
        # Of several seeds rather too wide: how they differ is in part the images' doing.
        assert 0.935 < covered / SIMULATIONS <= (0.965 if seeds == 1 else 1.0)

    def test_its_p_is_where_the_interval_ends(self):
        def found(p, value=0.1):
            z = scipy.stats.norm.isf(p / 2)
            return Sum(value, value - 0.05 * z, value + 0.2 * z)

        assert p_of(found) == pytest.approx(2 * scipy.stats.norm.sf(2))
        assert p_of(lambda p: found(p, -0.1)) == pytest.approx(2 * scipy.stats.norm.sf(0.5))
        assert p_of(lambda p: found(p, 0.0)) == 1.0
        t = p_of(lambda p: sum_of_counts((1.0,), [[600], [900]], [1000], p=p))
        assert t == pytest.approx(2 * scipy.stats.t.sf(0.75 / 0.15, 1), rel=0.01)

    def test_estimates_of_seeds_keep_their_own_intervals(self):
        one = mean_of_estimates([Sum(0.5, 0.4, 0.7)])
        assert one[:3] == pytest.approx((0.5, 0.4, 0.7))
        two = mean_of_estimates([Sum(0.5, 0.4, 0.7), Sum(0.6, 0.5, 0.8)])
        reach = scipy.stats.t.ppf(0.975, 1) * np.std([0.5, 0.6], ddof=1) / 2**0.5
        assert two.low == pytest.approx(max(0.0, 0.55 - math.hypot(0.1, reach)))
        half = mean_of_estimates([Sum(0.5, 0.4, 0.7)], p=0.5)
        assert half.high == pytest.approx(0.5 + 0.2 * scipy.stats.norm.isf(0.25) / Z95)


def test_without_rare_classes_there_are_no_groups():
    balanced = groups((90, 90, 90, 90))
    (rows,) = compare(
        contender("one", (90, 80, 10, 20)), [contender("two", (90, 70, 40, 20))], LABELS, CLASSES, balanced
    )
    assert [row.scope for row in rows] == [OVERALL, *CLASSES]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: wilson(6, 5), "correct: expected 0 to 5, got 6"),
        (lambda: wilson(-1, 5), "correct: expected 0 to 5, got -1"),
        (lambda: wilson(1, -5), "total: expected 0 or more, got -5"),
        (lambda: wilson(1, 5, -1), "z: expected 0 or more, got -1"),
        (lambda: wilson("x", 5), "correct: expected a number, got 'x'"),
        (lambda: wilson(1, math.nan), "total: expected a finite number, got nan"),
        (lambda: mcnemar(-1, 2), "only_first: expected 0 to 1,000,000,000,000 images, got -1"),
        (lambda: score_interval(1, 12, 10), "only_second: expected 0 to 10 images, got 12"),
        (lambda: score_interval(6, 6, 10), "only_first and only_second: expected at most 10 images together, got 12"),
        (lambda: score_interval(0, 0, 0), "images: expected 1 to 1,000,000,000,000, got 0"),
        (lambda: holm([0.1, 1.5]), "ps: expected probabilities from 0 to 1, got 1.5"),
        (lambda: mean_of_counts([3, 6], 5), "correct: expected 0 to 5 of 5 images, got 6"),
        (lambda: mean_of_counts([], 5), "correct: expected at least one number, got none"),
        (lambda: sum_of_counts([1.0], [[2, 3]], [5]), "correct: expected 1 number, got 2"),
        (lambda: sum_of_counts([1.0], [[2]], [0]), "totals: expected at least 1 image, got 0"),
        (lambda: weighted_sum([1.0], []), "parts: expected 1 number, one for each factor, got 0"),
        (lambda: mean_of_estimates([]), "estimates: expected those of at least one seed"),
        (lambda: t95(0), "degrees: expected at least 1, got 0"),
        (
            lambda: mean_over_seeds(np.zeros((0, 3), bool)),
            "survived: expected at least 1 seed and 1 image, got 0 and 3",
        ),
        (
            lambda: paired_difference(np.zeros((1, 3), bool), np.zeros((1, 4), bool)),
            "second: expected the same length on the axis images, got 4 where first has 3",
        ),
        (
            lambda: paired_difference(np.zeros((1, 3)), np.zeros((1, 3), bool)),
            "first: expected an array of booleans, (seeds, images), got an array of float64, (1, 3)",
        ),
    ],
)
def test_numbers_that_cannot_be_are_refused(call, said):
    with pytest.raises(UserError) as error:
        call()
    assert str(error.value) == said

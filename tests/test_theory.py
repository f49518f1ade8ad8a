"""Lemma and theorems: three ways to each number, and a search for parameters that would refute what we claim."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from srat.core.errors import FieldError
from srat.theory import COUNTEREXAMPLE, RATIOS, Gaussians, monte_carlo, normal_cdf, numerical_bias, with_ratios

CONVENTIONS = ("exact", "paper")
margins = st.floats(0.05, 5.0)
ratios = st.floats(1.01, 1e6)
conventions = st.sampled_from(CONVENTIONS)


def of_margin(margin, ratio, *, dimensions=1, eta=1.0, convention="exact"):
    data = Gaussians(dimensions=dimensions, eta=eta, ratio=ratio, convention=convention)
    return replace(data, sigma=data.sigma * data.margin / margin)


def test_the_issues_numbers():
    exact = Gaussians(dimensions=10, eta=1.0, sigma=2.0, ratio=10.0)
    paper = replace(exact, convention="paper")
    assert exact.best_bias() == pytest.approx(-4.605, abs=5e-4)
    assert paper.best_bias() == pytest.approx(-46.05, abs=5e-3)
    assert numerical_bias(exact) == pytest.approx(-4.605, abs=5e-4)
    assert numerical_bias(paper) == pytest.approx(-46.05, abs=5e-3)


def test_the_papers_formula_is_off_by_the_dimensions():
    for dimensions in (1, 3, 100):
        exact = Gaussians(dimensions=dimensions)
        assert replace(exact, convention="paper").best_bias() == pytest.approx(dimensions * exact.best_bias())


@given(st.floats(-12, 12))
def test_the_normal_distribution_is_scipys(z):
    assert normal_cdf(z) == pytest.approx(scipy.stats.norm.cdf(z), rel=1e-12)


@given(margins, ratios, st.floats(0.1, 1e3), conventions)
def test_errors_at_the_best_bias_are_those_of_the_closed_form(margin, ratio, weight, convention):
    data = of_margin(margin, ratio, dimensions=7, eta=0.3, convention=convention)
    there = data.errors(data.best_bias(weight=weight))
    assert there == pytest.approx(data.best_errors(weight=weight), rel=1e-6, abs=1e-300)


@settings(deadline=None)
@given(st.floats(0.3, 4.0), st.floats(1.01, 1e4), st.floats(0.1, 1e3), conventions)
def test_no_other_bias_has_less_risk(margin, ratio, weight, convention):
    data = of_margin(margin, ratio, dimensions=5, eta=2.0, convention=convention)
    best = data.best_bias(weight=weight)
    least = data.risk(best, weight=weight)
    for factor in (-10.0, -1.0, -0.1, 0.1, 1.0, 10.0):
        assert data.risk(best + factor * data.spread, weight=weight) >= least * (1 - 1e-12)
    assert data.risk(numerical_bias(data, weight=weight), weight=weight) == pytest.approx(least, rel=1e-9)


@settings(deadline=None)
@given(st.floats(0.2, 4.0), st.floats(1.01, 1e4), st.floats(0.1, 1e3), conventions)
def test_the_search_finds_the_lemmas_bias(margin, ratio, weight, convention):
    data = of_margin(margin, ratio, dimensions=5, eta=2.0, convention=convention)
    assert numerical_bias(data, weight=weight) == pytest.approx(
        data.best_bias(weight=weight), rel=1e-4, abs=1e-5 * data.spread
    )


def test_where_one_class_is_given_up_the_search_still_finds_it_or_says_so():
    data = Gaussians(eta=0.1, ratio=100.0)
    assert numerical_bias(data) == pytest.approx(data.best_bias(), rel=1e-4)
    assert math.isnan(numerical_bias(Gaussians(eta=0.01, ratio=1e6)))


def test_the_search_is_scipys_on_the_risk_by_hand():
    d, eta, sigma, ratio, weight = 4, 0.7, 1.3, 20.0, 3.0

    def risk(b):
        rare = scipy.stats.norm.sf((b + d * eta) / (math.sqrt(d) * sigma))
        common = scipy.stats.norm.cdf((b - d * eta) / (math.sqrt(d) * sigma))
        return (weight * rare + ratio * common) / (1 + ratio)

    found = scipy.optimize.minimize_scalar(risk, bounds=(-6, 3), method="bounded", options={"xatol": 1e-10}).x
    data = Gaussians(dimensions=d, eta=eta, sigma=sigma, ratio=ratio)
    assert numerical_bias(data, weight=weight) == pytest.approx(found, abs=1e-5)
    assert data.best_bias(weight=weight) == pytest.approx(found, abs=1e-5)
    assert data.risk(0.4, weight=weight) == pytest.approx(risk(0.4), rel=1e-12)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("weight", [1.0, 10.0])
def test_monte_carlo_agrees(convention, weight):
    data = Gaussians(dimensions=6, eta=0.5, sigma=1.0, ratio=10.0, convention=convention)
    n = 200_000
    drawn = monte_carlo(data, weight=weight, samples=n, seed=1)
    for found, expected in zip(drawn.errors, data.errors(drawn.bias), strict=True):
        assert abs(found - expected) < 4 * math.sqrt(expected * (1 - expected) / n)
    # The risk is flat around its least: a bias off by a little costs next to nothing.
    assert data.risk(drawn.bias, weight=weight) == pytest.approx(
        data.risk(data.best_bias(weight=weight), weight=weight), rel=5e-3
    )


def test_the_sum_varies_as_the_exact_convention_says():
    points = np.random.default_rng(0).normal(1.0, 2.0, size=(100_000, 10))
    assert points.sum(axis=1).std() == pytest.approx(Gaussians(dimensions=10, sigma=2.0).spread, rel=0.01)


class TestTheorems:
    @given(margins, margins, ratios, conventions)
    def test_the_larger_margin_has_the_smaller_gap_for_any_ratio(self, one, other, ratio, convention):
        small, large = sorted((one, other))
        assert of_margin(large, ratio, convention=convention).gap() <= of_margin(small, ratio).gap() + 1e-12

    @given(margins, margins, ratios, conventions)
    def test_the_larger_margin_pays_the_smaller_price_for_any_ratio(self, one, other, ratio, convention):
        small, large = sorted((one, other))
        assert of_margin(large, ratio, convention=convention).price() <= of_margin(small, ratio).price() + 1e-12

    @given(margins, ratios, st.integers(1, 50), st.floats(1e-3, 1e3), conventions)
    def test_margin_and_ratio_decide_everything(self, margin, ratio, dimensions, eta, convention):
        data = of_margin(margin, ratio, dimensions=dimensions, eta=eta, convention=convention)
        plain = of_margin(margin, ratio)
        assert (data.gap(), data.price()) == pytest.approx((plain.gap(), plain.price()), rel=1e-6, abs=1e-12)

    @given(st.integers(1, 30), st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0.1, 10), ratios, conventions)
    def test_with_one_eta_they_hold_as_the_paper_says(self, d, eta, sigma, other, ratio, convention):
        first, second = (
            Gaussians(dimensions=d, eta=eta, sigma=s, ratio=ratio, convention=convention)
            for s in sorted((sigma, other))
        )
        assert first.separability >= second.separability
        assert first.gap() <= second.gap() + 1e-12
        assert first.price() <= second.price() + 1e-12

    @pytest.mark.parametrize("convention", CONVENTIONS)
    def test_the_counterexample_to_the_order_by_separability(self, convention):
        first, second = (replace(data, convention=convention) for data in COUNTEREXAMPLE)
        assert first.separability == pytest.approx(2)
        assert second.separability == pytest.approx(1)
        for one, two in zip(with_ratios(first), with_ratios(second), strict=True):
            assert one.gap() > two.gap() + 0.5
            assert one.price() > two.price() + 0.3
        assert max(RATIOS) == 1e8

    def test_weights_of_the_ratio_make_the_errors_equal(self):
        data = Gaussians()
        errors = data.best_errors(weight=data.ratio)
        assert errors.rare == pytest.approx(errors.common)
        assert data.best_bias(weight=data.ratio) == 0


@pytest.mark.parametrize(
    ("field", "value"), [("dimensions", 0), ("eta", 0.0), ("sigma", -1.0), ("ratio", 0.5), ("eta", float("nan"))]
)
def test_refuses_what_is_no_such_distribution(field, value):
    with pytest.raises(FieldError) as caught:
        Gaussians(**{field: value})
    assert caught.value.field == field
    assert str(caught.value.got) == str(value)  # NaN is not NaN


class TestCommand:
    def test_prints_three_ways_by_both_conventions(self, cli, tmp_path, monkeypatch):
        monkeypatch.setenv("COLUMNS", "120")
        code, out, _ = cli("theory", "--samples", 2_000, "--plot", tmp_path / "theory.svg")
        assert code == 0
        assert out.count("-4.605") == 2
        assert out.count("-46.05") == 3  # and the paper's b on the distribution as it is
        assert out.count("Monte Carlo, 2 × 2,000") == 2
        assert "98.20" in out
        text = (tmp_path / "theory.svg").read_text()
        assert "mathdefault" not in text

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (["--eta", "-1"], "--eta: expected a number from"),
            (["--weight", "0"], "--weight: expected a number from"),
            (["--seed", "-1"], "--seed: expected 0 or more"),
            (["--samples", "0"], "--samples: expected 1 to"),
            (["--samples", "1000000", "--dimensions", "1000000"], "--samples × --dimensions"),
            (["--plot", "no/such/folder.png"], "--plot: there is no folder"),
            (["--plot", "theory.jpeg"], "--plot: expected the name of a file ending in"),
        ],
    )
    def test_mistakes_are_told_in_one_line(self, cli, words, error):
        code, _, err = cli("theory", *words)
        assert code == 2
        assert error in err
        assert err.count("\n") == 1

"""Tables and plots of the theory."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from srat.report.plots import COLORS, PAGE, draw, log_axis
from srat.report.terminal.listing import Listing
from srat.report.terminal.scopes import titled_table
from srat.theory import COUNTEREXAMPLE, RATIOS, Convention, Errors, Gaussians, monte_carlo, numerical_bias, with_ratios

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CONVENTIONS: tuple[Convention, ...] = ("exact", "paper")
_LESS = 0.5
"""σ of the second distribution of the theorems' table, times that of the first."""


def lemma_table(
    exact: Gaussians, *, weight: float, samples: int, seed: int, between: Callable[[], None] = lambda: None
) -> Listing:
    """Return Lemma 3.1's b and its errors, three ways, by both conventions.

    Args:
        exact: the two classes.
        weight: ρ of the rare one.
        samples: points of each class for Monte Carlo.
        seed: of their draw.
        between: called between two draws; it may raise to end it all.
    """
    table = titled_table(
        f"Lemma 3.1: the b of least risk for d = {exact.dimensions}, η = {exact.eta:g}, σ = {exact.sigma:g}, "
        f"K = {exact.ratio:g}, ρ = {weight:g}",
        keys=2,
    )
    for heading in ("convention", "by"):
        table.add_column(heading, no_wrap=True)
    for heading in ("b", "error of −1 (rare)", "error of +1 (common)", "risk"):
        table.add_column(heading, justify="right", no_wrap=True)
    for convention in _CONVENTIONS:
        data = replace(exact, convention=convention)
        between()
        drawn = monte_carlo(data, weight=weight, samples=samples, seed=seed)
        closed, searched = data.best_bias(weight=weight), numerical_bias(data, weight=weight)
        rows: list[tuple[str, float, Errors]] = [
            ("closed form", closed, data.best_errors(weight=weight)),
            ("least risk by search", searched, data.errors(searched)),
            (f"Monte Carlo, 2 × {samples:,}", drawn.bias, drawn.errors),
        ]
        for way, bias, errors in rows:
            risk = (weight * errors.rare + data.ratio * errors.common) / (1 + data.ratio)
            numbers = (f"{bias:.4g}", *(f"{100 * error:.2f} %" for error in errors), f"{risk:.4g}")
            table.add_row(convention, way, *numbers, end_section=way.startswith("Monte"))
    table.caption = f"Monte Carlo sees nothing that is rarer than one in {samples:,}."
    wrong = replace(exact, convention="paper").best_bias(weight=weight)
    errors, risk = exact.errors(wrong), exact.risk(wrong, weight=weight)
    table.add_row(
        "exact", "the paper's b", f"{wrong:.4g}", *(f"{100 * error:.2f} %" for error in errors), f"{risk:.4g}"
    )
    return table


def theorem_table(exact: Gaussians) -> Listing:
    """Return what Theorems 3.1 and 3.2 compare, for two distributions that differ in σ alone: there they hold."""
    less = exact.sigma * _LESS
    table = titled_table(f"Theorems 3.1 and 3.2 with one η: σ = {less:g} and {exact.sigma:g}, K = {exact.ratio:g}")
    table.add_column("convention", no_wrap=True)
    for heading in ("S = η/σ²", "r = dη / spread", "gap of errors, ρ = 1", "price of ρ = K for +1"):
        table.add_column(heading, justify="right", no_wrap=True)
    for convention in _CONVENTIONS:
        for sigma in (less, exact.sigma):
            data = replace(exact, sigma=sigma, convention=convention)
            table.add_row(
                convention,
                f"{data.separability:.4g}",
                f"{data.margin:.4g}",
                f"{100 * data.gap():.2f} points",
                f"{100 * data.price():.2f} points",
                end_section=sigma == exact.sigma,
            )
    return table


def counterexample_table() -> Listing:
    """Return the gaps and prices of two distributions that S puts in the wrong order, for K up to 10⁸."""
    first, second = COUNTEREXAMPLE
    table = titled_table(
        f"S orders wrongly (d = 1): η = {first.eta:g}, σ² = {first.sigma**2:g} has S = {first.separability:g}, "
        f"η = {second.eta:g}, σ² = {second.sigma**2:g} has S = {second.separability:g}"
    )
    for heading in ("K", "gap, S = 2", "gap, S = 1", "price, S = 2", "price, S = 1"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one, two in zip(with_ratios(first), with_ratios(second), strict=True):
        numbers = (one.gap(), two.gap(), one.price(), two.price())
        table.add_row(f"{one.ratio:,.0f}", *(f"{100 * number:.2f}" for number in numbers))
    table.caption = "In points. Theorems 3.1 and 3.2 say that S = 2 has the smaller ones."
    return table


def draw_theory(exact: Gaussians, path: Path) -> None:
    """Draw the classes' errors over ρ by both conventions, and the counterexample's gaps over K."""
    draw([path], lambda: _figure(exact))


def _figure(exact: Gaussians) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PAGE, 2.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    weights = [exact.ratio ** (step / 20) for step in range(41)]  # 1 to K²
    for axes, convention in ((left, _CONVENTIONS[0]), (middle, _CONVENTIONS[1])):
        data = replace(exact, convention=convention)
        errors = [data.best_errors(weight=weight) for weight in weights]
        axes.plot(weights, [100 * each.rare for each in errors], color=COLORS[1], label="−1, rare")
        axes.plot(weights, [100 * each.common for each in errors], "--", color=COLORS[0], label="+1, common")
        axes.axvline(exact.ratio, color="#888888", linewidth=0.8, linestyle=":")
        log_axis(axes)
        axes.set(title=f"{convention}: r = {data.margin:.3g}", ylabel="error (%)")
        axes.set_xlabel("weight ρ of the rare class (dotted: K)")
        axes.set_ylim(0, None)
    left.legend(loc="upper center", frameon=True, framealpha=1.0, edgecolor="none")
    for number, data in enumerate(COUNTEREXAMPLE):
        gaps = [100 * each.gap() for each in with_ratios(data)]
        label = f"S = {data.separability:g}, r = {data.margin:.2g}"
        right.plot(RATIOS, gaps, "os"[number] + "-", color=COLORS[2 + number], label=label)
    log_axis(right)
    right.set(xlabel="imbalance K", ylabel="gap of errors (points)", title="the gap follows r, not S")
    right.set_ylim(0, 108)
    right.legend(loc="center right")
    return figure

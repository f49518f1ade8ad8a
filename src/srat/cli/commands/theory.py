"""The command ``srat theory``."""

from dataclasses import dataclass
from pathlib import Path

from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.core.errors import require
from srat.core.signals import deferring_signals
from srat.report.plots import check_plot
from srat.report.terminal.scopes import print_whole
from srat.report.terminal.theory import counterexample_table, draw_theory, lemma_table, theorem_table
from srat.theory import Gaussians


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compute Lemma 3.1 and Theorems 3.1 and 3.2: in closed form, by search for the least risk, and by Monte Carlo.

    Two Gaussian classes N(±(η, …, η), σ²I) in d dimensions, K to 1; the rare one counts ρ times. Both conventions are
    shown: exact (1ᵀx has the standard deviation √d·σ) and the paper's (d·σ). docs/theory.md has the derivations.
    """

    dimensions: int = 10
    """d."""
    eta: float = 1.0
    """η."""
    sigma: float = 2.0
    """σ."""
    ratio: float = 10.0
    """K."""
    weight: float = 1.0
    """ρ."""
    samples: int = 1_000_000
    """Points of each class for Monte Carlo."""
    seed: int = 0
    """Of the draw."""
    plot: Path | None = None
    """Draw errors over ρ, and the gaps of the counterexample, into this file (.png, .svg, .pdf)."""


def run(args: list[str]) -> int:
    """Print the tables, draw the plot where asked; return the exit code."""
    arguments = parse(Arguments, args, command="theory", default=Arguments())
    require(
        1e-100 < arguments.weight < 1e100, f"--weight: expected a number from 1e-100 to 1e100, got {arguments.weight:g}"
    )
    require(arguments.seed >= 0, f"--seed: expected 0 or more, got {arguments.seed}")
    require(1 <= arguments.samples <= 10**8, f"--samples: expected 1 to 100,000,000, got {arguments.samples}")
    drawn = arguments.samples * arguments.dimensions
    require(drawn <= 3 * 10**8, f"--samples × --dimensions: expected at most 300,000,000 in all, got {drawn:,}")
    if arguments.plot is not None:
        check_plot(arguments.plot)
    exact = Gaussians(dimensions=arguments.dimensions, eta=arguments.eta, sigma=arguments.sigma, ratio=arguments.ratio)
    console = make_console("theory")
    with deferring_signals() as interruption:
        table = lemma_table(
            exact,
            weight=arguments.weight,
            samples=arguments.samples,
            seed=arguments.seed,
            between=interruption.check,
        )
    for each in (table, theorem_table(exact), counterexample_table()):
        print_whole(console, each)
    if arguments.plot is not None:
        draw_theory(exact, arguments.plot)
        console.print(f"plot written to {arguments.plot}", highlight=False, markup=False, soft_wrap=True)
    return 0

"""Lemma 3.1 and Theorems 3.1 and 3.2: closed form, numerical minimum of the risk, and Monte Carlo.

Two classes y = ±1 with x | y ~ N(yμ, σ²I), μ = (η, …, η) ∈ R^d and Pr(+1) = K · Pr(−1); the classifier is
f(x) = sign(1ᵀx − b); the rare class −1 counts ρ times. The derivations are in docs/theory.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from srat.core.checked import Checked, checked
from srat.core.errors import require, require_field
from srat.core.words import number

Convention = Literal["exact", "paper"]
"""What the standard deviation of 1ᵀx is: √d·σ, as it is, or d·σ, as the paper's proof has it.

The latter is that of noise which is the same in every dimension.
"""
_MOST = 10**9
"""Points of a class that are drawn at the most: memory holds their sums."""
_PART = 1 << 22
"""Numbers that are drawn at once."""


class Errors(NamedTuple):
    """The share of each class that is misclassified, in [0, 1]."""

    rare: float
    """Pr(f(x) ≠ y | y = −1)."""
    common: float
    """Pr(f(x) ≠ y | y = +1)."""

    @property
    def gap(self) -> float:
        """What the rare class has more."""
        return self.rare - self.common


@dataclass(frozen=True, kw_only=True)
class Gaussians(Checked):
    """Two classes as in Eq. 1."""

    dimensions: int = 10
    """d ≥ 1."""
    eta: float = 1.0
    """η > 0, each coordinate of the common class's mean."""
    sigma: float = 2.0
    """σ > 0, the noise's standard deviation in each dimension."""
    ratio: float = 10.0
    """K ≥ 1, how often the common class is as frequent as the rare one."""
    convention: Convention = "exact"
    """What 1ᵀx varies by."""

    def __post_init__(self) -> None:
        require_field(self.dimensions >= 1, "dimensions", "1 or more", self.dimensions)
        for name, value in (("eta", self.eta), ("sigma", self.sigma)):
            inside = 1e-100 < value < 1e100
            require_field(inside, name, "a number from 1e-100 to 1e100", value, 1e-100, 1e100)
        require_field(1 <= self.ratio < 1e100, "ratio", "a number from 1 to 1e100", self.ratio, 1, 1e100)

    @property
    def spread(self) -> float:
        """The standard deviation of 1ᵀx within a class."""
        return self.sigma * (math.sqrt(self.dimensions) if self.convention == "exact" else self.dimensions)

    @property
    def separability(self) -> float:
        """The paper's S = η / σ²."""
        return self.eta / self.sigma**2

    @property
    def margin(self) -> float:
        """r, the distance of a class's mean from 0 in standard deviations of 1ᵀx: √d·η/σ exactly, η/σ in the paper.

        With K and ρ it decides every error; S does not.
        """
        return self.dimensions * self.eta / self.spread

    def errors(self, bias: float) -> Errors:
        """Return Φ(−(b + dη)/s) of the rare and Φ((b − dη)/s) of the common class, s the spread of 1ᵀx.

        Args:
            bias: b.
        """
        mean = self.dimensions * self.eta
        return Errors(rare=normal_cdf(-(bias + mean) / self.spread), common=normal_cdf((bias - mean) / self.spread))

    @checked
    def risk(self, bias: float, *, weight: float = 1.0) -> float:
        """Return Eq. 2: ρ · Pr(−1) · error of the rare class + Pr(+1) · error of the common class.

        Args:
            bias: b.
            weight: ρ > 0 of the rare class.
        """
        _check_weight(weight)
        errors = self.errors(bias)
        return (weight * errors.rare + self.ratio * errors.common) / (1 + self.ratio)

    @checked
    def best_bias(self, *, weight: float = 1.0) -> float:
        """Return the b of least risk, ½ log(ρ/K) · s² / (dη): Lemma 3.1 with σ²/η exactly, dσ²/η in the paper.

        Args:
            weight: ρ > 0 of the rare class.
        """
        _check_weight(weight)
        return 0.5 * math.log(weight / self.ratio) * self.spread**2 / (self.dimensions * self.eta)

    @checked
    def best_errors(self, *, weight: float = 1.0) -> Errors:
        """Return the errors at the b of least risk, Φ(½ log(K/ρ)/r − r) and Φ(½ log(ρ/K)/r − r).

        Args:
            weight: ρ > 0 of the rare class.
        """
        _check_weight(weight)
        shift = 0.5 * math.log(self.ratio / weight) / self.margin
        return Errors(rare=normal_cdf(shift - self.margin), common=normal_cdf(-shift - self.margin))

    def gap(self) -> float:
        """Return what Theorem 3.1 compares: how much more often the rare class is misclassified, without weights."""
        return self.best_errors().gap

    def price(self) -> float:
        """Return what Theorem 3.2 compares: how much the common class's error grows as ρ goes from 1 to K."""
        return self.best_errors(weight=self.ratio).common - self.best_errors().common


def _check_weight(weight: float) -> None:
    require(weight > 0, f"weight: expected a number above 0, got {number(weight, 0)}")


def normal_cdf(z: float) -> float:
    """Return Φ(z), accurate far below 0 too.

    Args:
        z: any real number.
    """
    return 0.5 * math.erfc(-z / math.sqrt(2))


@checked
def numerical_bias(data: Gaussians, *, weight: float = 1.0) -> float:
    """Return the b of least risk by search, without the lemma; NaN where floating point cannot tell.

    Args:
        data: the two classes.
        weight: ρ > 0 of the rare class.
    """
    from scipy.optimize import minimize_scalar

    _check_weight(weight)
    r, (less, more) = data.margin, sorted((weight, data.ratio))

    def excess(t: float) -> float:
        # The risk less a constant, that of giving up the class that counts less: near that it still has digits.
        return more * normal_cdf(t - r) - less * normal_cdf(t + r)

    # In units in which means are ±r and the spread is 1; with t falls the error of the class that counts more.
    width = r + math.log(more / less) / r + 1.0
    grid = np.linspace(-width, width, 2_001)
    lowest = int(np.argmin([excess(float(t)) for t in grid]))
    around = (grid[max(lowest - 1, 0)], grid[min(lowest + 1, len(grid) - 1)])
    found = minimize_scalar(lambda t: excess(float(t)), bounds=around, method="bounded", options={"xatol": 1e-10})
    if found.fun == 0:
        return math.nan
    return float(found.x) * data.spread * (1.0 if weight <= data.ratio else -1.0)


class Sampled(NamedTuple):
    """What drawn points say."""

    bias: float
    """The b of least empirical risk."""
    errors: Errors
    """The errors there, of other points."""


@checked
def monte_carlo(data: Gaussians, *, weight: float = 1.0, samples: int = 1_000_000, seed: int = 0) -> Sampled:
    """Return the b of least empirical risk of drawn points, and its errors on as many others.

    Args:
        data: the two classes.
        weight: ρ > 0 of the rare class.
        samples: points of each class; their frequency is put in by weights.
        seed: of the draw.
    """
    _check_weight(weight)
    require(1 <= samples <= _MOST, f"samples: expected 1 to {_MOST:,}, got {samples}")
    require(seed >= 0, f"seed: expected 0 or more, got {seed}")
    rng = np.random.default_rng(seed)
    rare, common = (np.sort(_sums(data, sign, samples, rng)) for sign in (-1, 1))
    candidates = np.concatenate((rare, common))
    risk = weight * (1 - np.searchsorted(rare, candidates, side="right") / samples)
    risk += data.ratio * np.searchsorted(common, candidates, side="right") / samples
    bias = float(candidates[np.argmin(risk)])
    rare, common = (_sums(data, sign, samples, rng) for sign in (-1, 1))
    return Sampled(bias, Errors(rare=float((rare > bias).mean()), common=float((common <= bias).mean())))


def _sums(data: Gaussians, sign: int, samples: int, rng: np.random.Generator) -> Float[NDArray[np.float64], " samples"]:
    """Return 1ᵀx of drawn points of a class, coordinate by coordinate."""
    shared = data.convention == "paper"
    columns = 1 if shared else data.dimensions
    rows = max(1, _PART // columns)
    parts = []
    for start in range(0, samples, rows):
        noise = rng.standard_normal((min(rows, samples - start), columns))
        points = sign * data.eta + data.sigma * noise
        parts.append(points.sum(axis=1) * (data.dimensions if shared else 1))
    return np.concatenate(parts)


COUNTEREXAMPLE = (
    Gaussians(dimensions=1, eta=0.1, sigma=math.sqrt(0.05)),
    Gaussians(dimensions=1, eta=10.0, sigma=math.sqrt(10.0)),
)
"""S = 2 and S = 1: the more "separable" one has the larger gap and the larger price, for any K (d = 1: by both
conventions)."""
RATIOS = (1e1, 1e2, 1e3, 1e4, 1e6, 1e8)


@checked
def with_ratios(data: Gaussians, ratios: Sequence[float] = RATIOS) -> list[Gaussians]:
    """Return the same classes with other K.

    Args:
        data: two classes.
        ratios: K, the larger class's examples for each of the smaller one's.
    """
    return [replace(data, ratio=ratio) for ratio in ratios]

"""Two models before the same images."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from srat.core.checked import checked
from srat.core.errors import require
from srat.core.words import number
from srat.data.counts import LARGEST_COUNT
from srat.statistics.intervals import ROUNDING, Z95, crossed_variances, t_at, z_at
from srat.statistics.searching import LEAST_P, border


class Difference(NamedTuple):
    """How much higher the second one's accuracy is, with a 95 % interval, and how likely as much would be by chance."""

    difference: float
    """In [−1, 1]."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end."""
    p: float
    """Probability of a difference as large, were there none."""


@checked
def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p of McNemar's test, min(1, 2 · Pr[X ≤ min(b, c)]) with X ~ Binomial(b + c, ½).

    Args:
        only_first: b, images that the first model alone gets right.
        only_second: c, those that the second alone gets right.

    Raises:
        UserError: if a number is negative.

    Source: McNemar, 1947.
    """
    from scipy.special import bdtr

    _check_counts(only_first, only_second, LARGEST_COUNT)
    discordant = only_first + only_second
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), discordant, 0.5)))


@checked
def score_interval(only_first: int, only_second: int, images: int, z: float = Z95) -> tuple[float, float]:
    """Return the score interval of a paired difference of proportions.

    All Δ with |c − b − nΔ| ≤ z √(n (2q + Δ(1 − Δ))), where q is the probability of "only the first is right" that is
    likeliest under the difference Δ.

    Args:
        only_first: b, images that the first model alone gets right.
        only_second: c, those that the second alone gets right.
        images: n, all of them.
        z: quantile of the standard normal; 1.96 for 95 %.

    Returns:
        The ends, in [−1, 1].

    Raises:
        UserError: if there is no image, or fewer than the models get right.

    Source: Tango, 1998, Equations 5 and 10.
    """
    require(1 <= images <= LARGEST_COUNT, f"images: expected 1 to {LARGEST_COUNT:,}, got {images}")
    _check_counts(only_first, only_second, images)
    require(z >= 0, f"z: expected 0 or more, got {number(z, 0)}")
    found = (only_second - only_first) / images

    def too_far(delta: float) -> bool:
        return abs(_score(only_first, only_second, images, delta)) > z

    return border(found, -1.0, too_far), border(found, 1.0, too_far)


def _check_counts(only_first: int, only_second: int, images: int) -> None:
    """Raise ``UserError`` unless these are numbers of different images, of so many."""
    for name, count in (("only_first", only_first), ("only_second", only_second)):
        require(0 <= count <= images, f"{name}: expected 0 to {images:,} images, got {count}")
    both = only_first + only_second
    require(both <= images, f"only_first and only_second: expected at most {images:,} images together, got {both:,}")


def _score(b: int, c: int, n: int, delta: float) -> float:
    """Return (c − b − nΔ) / √(n (2q + Δ(1 − Δ)))."""
    # The likelihood, restricted to q + Δ for "only the second", is largest where 2n q² + linear · q + constant = 0.
    linear = -c - b + (2 * n - c + b) * delta
    constant = -b * delta * (1 - delta)
    q = (math.sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * q + delta * (1 - delta))
    off = c - b - n * delta
    return off / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, off) if off else 0.0


@checked
def paired_difference(
    first: Bool[NDArray[np.bool_], "seeds images"], second: Bool[NDArray[np.bool_], "seeds images"]
) -> Difference:
    """Return how much higher the second's accuracy is than the first's, on the same images.

    One model of each: Tango's score interval, and McNemar's exact p. Several, whose seeds are the same in both: for
    other seeds and other images, d ± √(z² max(0, V_images − V_rest) + t² (V_seeds + 1 / 12 S n²)) with t of S − 1
    degrees of freedom, and the p whose interval ends at 0. The rest is large in differences; with the seeds, it raises
    no false alarms. The last term is for rounding: of n images the differences of two seeds may agree by chance, and
    V_seeds = 0 would be certainty, which a correction for many comparisons finds wherever it is.

    Args:
        first: (seeds, images), which of its models gets which image right.
        second: the same of the other.

    Raises:
        UserError: if they are of different shapes, or there is no seed or no image.
    """
    seeds, images = first.shape
    require(min(seeds, images) >= 1, f"first: expected at least 1 seed and 1 image, got {seeds} and {images}")
    difference = float(second.mean() - first.mean())
    if seeds == 1:
        only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
        return Difference(
            difference, *score_interval(only_first, only_second, images), mcnemar(only_first, only_second)
        )
    if images < 2:
        return Difference(difference, -1.0, 1.0, 1.0)
    found = crossed_variances(second.astype(float) - first.astype(float))
    of_seeds = found.seeds + ROUNDING / (seeds * images * images)

    def half_width(p: float) -> float:
        z, t = z_at(p), t_at(seeds - 1, p)
        of_both = z * z * max(0.0, found.images - found.rest) + t * t * of_seeds
        # Never less than of images on which all agree: the score interval's there.
        least: float = z * z / (images + z * z)
        return max(math.sqrt(of_both), least)

    half = half_width(0.05)
    p = border(1.0, LEAST_P, lambda p: half_width(p) > abs(difference))
    return Difference(difference, max(-1.0, difference - half), min(1.0, difference + half), p)


@checked
def paired_difference_of_means(
    first: Bool[NDArray[np.bool_], "seeds images"],
    second: Bool[NDArray[np.bool_], "seeds images"],
    labels: Int[NDArray[np.int64], " images"],
) -> Difference:
    """Return how much higher the second's mean over the classes is than the first's, on the same images.

    d = Σ d_k / K ± √(z² V_images + t² V_seeds), V_images = Σ V_k / K² by the images of each class. One model of each:
    V_k is that of the paired difference with one image more in each of the two discordant cells (Bonett and Price,
    2012). Several: V_k = max(0, V_images,k − V_rest,k), and V_seeds is that of the mean itself, as in
    `paired_difference`. The p is the one whose interval ends at 0.

    Args:
        first: (seeds, images), which of its models gets which image right.
        second: the same of the other.
        labels: (images,), the true classes; those that have no image do not count.

    Raises:
        UserError: if they are of different shapes, or there is no seed or no image.
    """
    seeds, images = first.shape
    require(min(seeds, images) >= 1, f"first: expected at least 1 seed and 1 image, got {seeds} and {images}")
    ahead = second.astype(float) - first
    of_classes = [ahead[:, labels == c] for c in np.unique(labels)]
    share = 1 / len(of_classes)
    of_seeds = np.mean([of_class.mean(axis=1) for of_class in of_classes], axis=0)
    sizes = np.array([of_class.shape[1] for of_class in of_classes])
    difference, alone = float(of_seeds.mean()), seeds == 1
    by_images = share**2 * sum(map(_smoothed_variance if alone else _variance_by_images, of_classes))
    rounding = ROUNDING * share**2 * float((1 / sizes**2).sum())
    by_seeds = 0.0 if alone else (float(of_seeds.var(ddof=1)) + rounding) / seeds

    def half_width(p: float) -> float:
        z, t = z_at(p), 0.0 if alone else t_at(seeds - 1, p)
        # Never less than of images on which all agree.
        least = 0.0 if alone else share * math.sqrt(float(((z * z / (sizes + z * z)) ** 2).sum()))
        return max(math.sqrt(z * z * by_images + t * t * by_seeds), least)

    half = half_width(0.05)
    p = border(1.0, LEAST_P, lambda p: half_width(p) > abs(difference))
    return Difference(difference, max(-1.0, difference - half), min(1.0, difference + half), p)


def _smoothed_variance(ahead: Float[NDArray[np.float64], "1 images"]) -> float:
    """Return the variance of a class's paired difference, as if each model alone got one image more right."""
    images = ahead.shape[1] + 2
    only_first, only_second = (float((ahead == sign).sum() + 1) / images for sign in (-1, 1))
    variance: float = (only_first + only_second - (only_second - only_first) ** 2) / images
    return variance


def _variance_by_images(ahead: Float[NDArray[np.float64], "seeds images"]) -> float:
    """Return the variance of a class's mean difference by its images; of one, the largest that there can be."""
    if ahead.shape[1] < 2:
        return 1.0
    found = crossed_variances(ahead)
    return max(0.0, found.images - found.rest)


@checked
def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number: of those that stay below α, none is false in 1 − α of all cases.

    The i-th smallest of m becomes max over j ≤ i of (m − j + 1) p_j, at most 1.

    Args:
        ps: in [0, 1].

    Raises:
        UserError: if one is not.

    Source: Holm, 1979.
    """
    for p in ps:
        require(0 <= p <= 1, f"ps: expected probabilities from 0 to 1, got {number(p, 0, 1)}")
    corrected, so_far = [0.0] * len(ps), 0.0
    for rank, position in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        so_far = max(so_far, min(1.0, (len(ps) - rank) * ps[position]))
        corrected[position] = so_far
    return corrected

"""Intervals for accuracies."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from srat.core.checked import checked
from srat.core.errors import require
from srat.core.words import counted, number
from srat.data.counts import LARGEST_COUNT
from srat.statistics.searching import LEAST_P, border

Z95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""
ROUNDING = 1 / 12
"""Variance of what is lost where a number is rounded to a whole one."""


class Accuracy(NamedTuple):
    """An accuracy and its 95 % interval, all in [0, 1]."""

    accuracy: float
    low: float
    high: float


@checked
def wilson(correct: float, total: float, z: float = Z95) -> Accuracy:
    """Return an accuracy with its Wilson score interval, (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n).

    Args:
        correct: successes, 0 ≤ correct ≤ total; a fraction where ``total`` is an effective number.
        total: n; without any trial nothing is known: NaN in [0, 1].
        z: quantile of the standard normal; 1.96 for 95 %.

    Raises:
        UserError: if more are correct than there are, or a number is negative.

    Source: Wilson, 1927.
    """
    require(total >= 0, f"total: expected 0 or more, got {number(total, 0)}")
    require(0 <= correct <= total, f"correct: expected 0 to {number(total, correct)}, got {number(correct, 0, total)}")
    require(z >= 0, f"z: expected 0 or more, got {number(z, 0)}")
    if total == 0:
        return Accuracy(math.nan, 0.0, 1.0)
    p = correct / total
    center = p + z * z / (2 * total)
    spread = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # Rounding must not push the bounds past the accuracy or out of [0, 1].
    return Accuracy(p, max(0.0, min(p, (center - spread) / scale)), min(1.0, max(p, (center + spread) / scale)))


class Mean(NamedTuple):
    """The mean of several models' accuracies, which differ by their seed."""

    accuracy: float
    """The mean, in [0, 1]."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end."""
    spread: float
    """Standard deviation over the seeds, each on these images; NaN for a single one."""


class Variances(NamedTuple):
    """What the mean over seeds and images varies by, each as a variance of that mean."""

    images: float
    """Of the means over seeds of each image: by the choice of images, and the rest."""
    seeds: float
    """Of the means over images of each seed: by the choice of seeds, and the rest."""
    rest: float
    """By what neither explains: the noise of single answers."""
    spread: float
    """Standard deviation over the seeds, each on these images; NaN for a single one."""


@checked
def crossed_variances(values: Float[NDArray[np.float64], "seeds images"]) -> Variances:
    """Return what the mean of values varies by, where every seed has every image.

    The mean squares of a two-way table, each over S n. The models share their images, so that the images' part does not
    shrink with the number of seeds.

    Args:
        values: (seeds, images), at least one seed and two images.

    Raises:
        UserError: if there are fewer.

    Source: Scheffé, The Analysis of Variance, 1959, the random-effects model of two crossed factors.
    """
    seeds, images = values.shape
    require(seeds >= 1 and images >= 2, f"values: expected at least 1 seed and 2 images, got {seeds} and {images}")
    by_image, by_seed = values.mean(axis=0), values.mean(axis=1)
    of_images = float(by_image.var(ddof=1)) / images
    if seeds == 1:
        return Variances(of_images, 0.0, 0.0, math.nan)
    rest = values - by_image - by_seed[:, None] + values.mean()
    of_rest = float((rest**2).sum()) / ((seeds - 1) * (images - 1)) / (seeds * images)
    return Variances(of_images, float(by_seed.var(ddof=1)) / seeds, of_rest, float(by_seed.std(ddof=1)))


@checked
def mean_over_seeds(survived: Bool[NDArray[np.bool_], "seeds images"]) -> Mean:
    """Return the mean accuracy over seeds with an interval for other seeds and other images.

    Wilson's, with z² max(0, V_images − V_rest) + t² V_seeds for z² times the variance, t of S − 1 degrees of freedom;
    of one seed it is Wilson's own. V_rest is within both, and counts once: where t is large, with the seeds.

    Args:
        survived: (seeds, images), which model gets which image right; at least one of each.

    Raises:
        UserError: if there is no seed or no image.
    """
    seeds, images = survived.shape
    require(min(seeds, images) >= 1, f"survived: expected at least 1 seed and 1 image, got {seeds} and {images}")
    mean = float(survived.mean())
    if seeds == 1:
        return Mean(*wilson(int(survived.sum()), images), math.nan)
    if images < 2:
        return Mean(*wilson(mean * images, images), float(survived.mean(axis=1).std(ddof=1)))
    found = crossed_variances(survived.astype(float))
    variance = max(0.0, found.images - found.rest) + (t95(seeds - 1) / Z95) ** 2 * found.seeds
    # As many images as would be as uncertain by themselves; of models that agree, on all images, as many as there are.
    effective = mean * (1 - mean) / variance if variance > 0 else images
    return Mean(*wilson(mean * effective, effective), found.spread)


@checked
def mean_of_counts(correct: Sequence[int], total: int) -> Mean:
    """Return the mean accuracy over seeds with an interval for other seeds and other images, from counts alone.

    Wilson's, with z² p(1 − p)/n + t² s²/S for z² times the variance: without the single images' outcomes, it is taken
    that all models fail on the same ones, which makes it rather too wide; of one seed it is Wilson's own.

    Args:
        correct: (seeds,), images that each model gets right.
        total: n, images, the same for all.

    Raises:
        UserError: if there is no seed, or more images are right than there are.

    Source: as `mean_over_seeds`, with the largest variance that the images can have.
    """
    seeds = len(correct)
    check_correct(correct, [total] * seeds)
    if seeds == 1 or total == 0:
        return Mean(*wilson(sum(correct), total * seeds), math.nan)
    accuracies = np.array(correct) / total
    mean, spread = float(accuracies.mean()), float(accuracies.std(ddof=1))
    variance = mean * (1 - mean) / total + (t95(seeds - 1) / Z95 * spread) ** 2 / seeds
    effective = mean * (1 - mean) / variance if variance > 0 else total
    return Mean(*wilson(mean * effective, effective), spread)


class Sum(NamedTuple):
    """A sum of accuracies, each times a number, with its 95 % interval."""

    value: float
    low: float
    high: float


@checked
def weighted_sum(factors: Sequence[float], parts: Sequence[Sum]) -> Sum:
    """Return Σ c_i p_i of independent p_i, with the interval that follows from theirs.

    The distance of each bound from the sum is √Σ c_i² d_i², d_i that of the bound of p_i which moves the sum that way.

    Args:
        factors: c_i.
        parts: p_i with their intervals.

    Raises:
        UserError: if there are not as many of both.

    Source: Zou and Donner, 2008 (MOVER); of two accuracies, Newcombe's method 10, 1998.
    """
    _check_terms("parts", factors, parts)
    value = sum(factor * part.value for factor, part in zip(factors, parts, strict=True))
    below, above = 0.0, 0.0
    for factor, part in zip(factors, parts, strict=True):
        down, up = factor * (part.value - part.low), factor * (part.high - part.value)
        below += (down if factor > 0 else up) ** 2
        above += (up if factor > 0 else down) ** 2
    return Sum(value, value - math.sqrt(below), value + math.sqrt(above))


@checked
def sum_of_counts(
    factors: Sequence[float], correct: Sequence[Sequence[int]], totals: Sequence[int], *, p: float = 0.05
) -> Sum:
    """Return Σ c_i p_i of one configuration's models, p_i on images of its own, for other seeds and other images.

    What a model gains in one place it may lose in another, so that the sums of the single models say how it varies with
    the seed: to the image's part, by `weighted_sum` of Wilson's intervals, comes t² (s² + Σ c_i² / 12 n_i²) / S, s
    their deviation, the rest for rounding: counts of two seeds may agree by chance.

    Args:
        factors: c_i.
        correct: (seeds, terms), images that each model gets right.
        totals: (terms,), of how many, at least 1.
        p: how often the interval misses, 0.05 for one of 95 %.

    Raises:
        UserError: if there is no seed, not a number for each term, more images are right than there are, or p is not
            between 0 and 1.
    """
    _check_terms("totals", factors, totals)
    _check_p(p)
    require(min(totals, default=1) >= 1, f"totals: expected at least 1 image, got {min(totals, default=1)}")
    require(len(correct) >= 1, "correct: expected those of at least one seed")
    for of_seed in correct:
        check_correct(of_seed, totals)
    counts = np.array(correct, dtype=float)
    accuracies = counts / np.array(totals)
    parts = [
        Sum(*wilson(float(column.mean()) * total, total, z_at(p)))
        for column, total in zip(accuracies.T, totals, strict=True)
    ]
    value, low, high = weighted_sum(factors, parts)
    seeds, signs = len(counts), np.array(factors)
    if seeds == 1:
        return Sum(value, low, high)
    rounded = ROUNDING * float(((signs / np.array(totals)) ** 2).sum())
    reach = t_at(seeds - 1, p) * math.sqrt((float((accuracies @ signs).var(ddof=1)) + rounded) / seeds)
    return Sum(value, value - math.hypot(value - low, reach), value + math.hypot(high - value, reach))


@checked
def mean_of_class_means(
    survived: Bool[NDArray[np.bool_], "seeds images"], labels: Int[NDArray[np.int64], " images"]
) -> Mean:
    """Return the mean over seeds of the balanced accuracy, for other seeds and other images (`sum_of_counts`).

    Args:
        survived: (seeds, images), which model gets which image right; at least one of each.
        labels: (images,), the true classes; those that have no image do not count.

    Raises:
        UserError: if there is no seed or no image.
    """
    seeds, images = survived.shape
    require(min(seeds, images) >= 1, f"survived: expected at least 1 seed and 1 image, got {seeds} and {images}")
    classes = [labels == c for c in np.unique(labels)]
    sizes = [int(chosen.sum()) for chosen in classes]
    correct = [[int(of_seed[chosen].sum()) for chosen in classes] for of_seed in survived]
    value, low, high = sum_of_counts([1 / len(sizes)] * len(sizes), correct, sizes)
    spread = float((np.array(correct) / np.array(sizes)).mean(axis=1).std(ddof=1)) if seeds > 1 else math.nan
    return Mean(value, max(0.0, low), min(1.0, high), spread)


def p_of(found: Callable[[float], Sum]) -> float:
    """Return the p of the hypothesis that a sum is 0: the one at which its interval ends there.

    Args:
        found: the sum, with the interval that misses with a given p.
    """

    def holds_zero(p: float) -> bool:
        at = found(p)
        return at.low <= 0 <= at.high

    return border(1.0, LEAST_P, holds_zero)


@checked
def mean_of_estimates(estimates: Sequence[Sum], *, p: float = 0.05) -> Mean:
    """Return the mean over seeds of numbers that have intervals of their own, for other seeds too.

    The distance of each bound is √(d̄² + t² s²/S), d̄² the mean square of theirs, s the deviation of the numbers.

    Args:
        estimates: (seeds,), each with its 95 % interval, within [0, 1].
        p: how often the interval misses, 0.05 for one of 95 %; the distances are taken for normal ones.

    Raises:
        UserError: if there is no seed, or p is not between 0 and 1.
    """
    require(len(estimates) >= 1, "estimates: expected those of at least one seed")
    _check_p(p)
    values, seeds, scale = np.array(estimates), len(estimates), z_at(p) / Z95
    value = float(values[:, 0].mean())
    spread = float(values[:, 0].std(ddof=1)) if seeds > 1 else math.nan
    reach = t_at(seeds - 1, p) * spread / math.sqrt(seeds) if seeds > 1 else 0.0
    squares = (scale**2 * float(((values[:, 0] - values[:, k]) ** 2).mean()) for k in (1, 2))
    below, above = (math.sqrt(square + reach**2) for square in squares)
    return Mean(value, max(0.0, value - below), min(1.0, value + above), spread)


@checked
def t95(degrees: int) -> float:
    """Return the 97.5 % point of Student's distribution.

    Args:
        degrees: of freedom, at least 1.

    Raises:
        UserError: if there are fewer.
    """
    require(degrees >= 1, f"degrees: expected at least 1, got {degrees}")
    return t_at(degrees, 0.05)


def t_at(degrees: int, p: float) -> float:
    """Return the distance from 0 that Student's distribution of so many degrees of freedom exceeds with p."""
    from scipy.special import stdtrit

    return -float(stdtrit(degrees, p / 2))


def z_at(p: float) -> float:
    """Return the distance from 0 that the standard normal distribution exceeds with p."""
    from scipy.special import ndtri

    return -float(ndtri(p / 2))


def _check_p(p: float) -> None:
    """Raise ``UserError`` unless an interval can miss so often."""
    require(0 < p <= 1, f"p: expected more than 0, and 1 at the most, got {number(p, 0, 1)}")


def _check_terms(name: str, factors: Sequence[float], terms: Sequence[Any]) -> None:
    """Raise ``UserError`` unless there is a term for each factor."""
    wanted = f"{counted(len(factors), 'number')}, one for each factor"
    require(len(terms) == len(factors), f"{name}: expected {wanted}, got {len(terms)}")


def check_correct(correct: Sequence[int], totals: Sequence[int]) -> None:
    """Raise ``UserError`` unless there is a number for each total, from 0 to that."""
    require(len(correct) == len(totals), f"correct: expected {counted(len(totals), 'number')}, got {len(correct)}")
    require(len(correct) >= 1, "correct: expected at least one number, got none")
    for right, total in zip(correct, totals, strict=True):
        require(0 <= right <= total <= LARGEST_COUNT, f"correct: expected 0 to {total} of {total} images, got {right}")

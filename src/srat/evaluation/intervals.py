"""Intervals for accuracies."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

Z95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""


class Accuracy(NamedTuple):
    """An accuracy and its 95 % interval, all in [0, 1]."""

    accuracy: float
    low: float
    high: float


def wilson(correct: float, total: float, z: float = Z95) -> Accuracy:
    """Return an accuracy with its Wilson score interval, (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n).

    Args:
        correct: successes, 0 ≤ correct ≤ total; a fraction where ``total`` is an effective number.
        total: n; without any trial nothing is known: NaN in [0, 1].
        z: quantile of the standard normal; 1.96 for 95 %.

    Source: Wilson, 1927.
    """
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


def crossed_variances(values: Float[NDArray[np.float64], "seeds images"]) -> Variances:
    """Return what the mean of values varies by, where every seed has every image.

    The mean squares of a two-way table, each over S n. The models share their images, so that the images' part does not
    shrink with the number of seeds.

    Args:
        values: (seeds, images), at least one seed and two images.

    Source: Scheffé, The Analysis of Variance, 1959, the random-effects model of two crossed factors.
    """
    seeds, images = values.shape
    by_image, by_seed = values.mean(axis=0), values.mean(axis=1)
    of_images = float(by_image.var(ddof=1)) / images
    if seeds == 1:
        return Variances(of_images, 0.0, 0.0, math.nan)
    rest = values - by_image - by_seed[:, None] + values.mean()
    of_rest = float((rest**2).sum()) / ((seeds - 1) * (images - 1)) / (seeds * images)
    return Variances(of_images, float(by_seed.var(ddof=1)) / seeds, of_rest, float(by_seed.std(ddof=1)))


def mean_over_seeds(survived: Bool[NDArray[np.bool_], "seeds images"]) -> Mean:
    """Return the mean accuracy over seeds with an interval for other seeds and other images.

    Wilson's, with z² V_images + t² max(0, V_seeds − V_rest) for z² times the variance, t of S − 1 degrees of freedom;
    of one seed it is Wilson's own.

    Args:
        survived: (seeds, images), which model gets which image right.
    """
    seeds, images = survived.shape
    mean = float(survived.mean())
    if seeds == 1:
        return Mean(*wilson(int(survived.sum()), images), math.nan)
    if images < 2:
        return Mean(*wilson(mean * images, images), float(survived.mean(axis=1).std(ddof=1)))
    found = crossed_variances(survived.astype(float))
    variance = found.images + (t95(seeds - 1) / Z95) ** 2 * max(0.0, found.seeds - found.rest)
    # As many images as would be as uncertain by themselves; of models that agree, on all images, as many as there are.
    effective = mean * (1 - mean) / variance if variance > 0 else images
    return Mean(*wilson(mean * effective, effective), found.spread)


def t95(degrees: int) -> float:
    """Return the 97.5 % point of Student's distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))

"""How often intervals hold what they are for: of means over seeds, and of the Fisher ratio. The tables of docs/log.md.

usage: python tests/evaluation/coverage.py [SIMULATIONS]
"""

import sys

import numpy as np

from srat.evaluation import separability
from srat.statistics.intervals import Z95, crossed_variances, mean_over_seeds, t95, wilson

IMAGES, OF_IMAGE = 2_000, 3.0


def seeds(simulations: int) -> None:
    """Print the coverage by number of seeds, accuracy, and how much the seeds differ (on the logit)."""
    rng = np.random.default_rng(11)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    for count in (2, 3, 5, 10):
        for level, of_seed in ((0, 0.05), (0, 0.2), (-3, 0.1), (-3, 0.4), (-6, 0.2), (-6, 0.5)):
            truth = (weights / (1 + np.exp(-(level + np.hypot(OF_IMAGE, of_seed) * nodes)))).sum() / weights.sum()
            held = np.zeros(2)
            for _ in range(simulations):
                logit = level + OF_IMAGE * rng.standard_normal(IMAGES) + of_seed * rng.standard_normal((count, 1))
                survived = rng.random((count, IMAGES)) < 1 / (1 + np.exp(-logit))
                ends = mean_over_seeds(survived)[1:3], rest_off_the_seeds(survived)
                held += [low <= truth <= high for low, high in ends]
            ours, other = 100 * held / simulations
            said = f"{ours:.1f} %; with V_rest taken from the seeds' variance {other:.1f} %"
            print(f"{count} seeds ({of_seed}), accuracy {100 * truth:.0f} %: {said}", flush=True)


def rest_off_the_seeds(survived: np.ndarray) -> tuple[float, float]:
    """Return the interval by z² V_images + t² max(0, V_seeds − V_rest)."""
    found, mean = crossed_variances(survived.astype(float)), survived.mean()
    variance = found.images + (t95(len(survived) - 1) / Z95) ** 2 * max(0.0, found.seeds - found.rest)
    effective = mean * (1 - mean) / variance
    return wilson(mean * effective, effective)[1:3]


def fisher(simulations: int) -> None:
    """Print the coverage of the basic interval, which is ours, and of the percentile interval, for normal clouds."""
    rng = np.random.default_rng(0)
    for dimensions, each, classes in ((2, 50, 4), (64, 50, 10), (64, 200, 10)):
        centers = 0.5 * rng.standard_normal((classes, dimensions))
        truth = ((centers - centers.mean(axis=0)) ** 2).sum() / (classes * dimensions)
        labels, basic, percentile = np.repeat(np.arange(classes), each), 0, 0
        for seed in range(simulations):
            x = centers[labels] + rng.standard_normal((len(labels), dimensions))
            draws = np.concatenate([np.ones((1, len(labels))), separability._resampled(labels, seed)])
            between, within = separability._scatters(x, labels, draws)
            ratios = between.sum(axis=1) / within.sum(axis=1)
            found = separability._fisher(ratios)
            low, high = np.percentile(ratios[1:], [2.5, 97.5])
            basic += found.low <= truth <= found.high
            percentile += low <= truth <= high
        said = f"basic {100 * basic / simulations:.0f} %, percentile {100 * percentile / simulations:.0f} %"
        print(f"{dimensions} dimensions, {each} images a class: {said}", flush=True)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    fisher(min(count, 200))
    seeds(count)

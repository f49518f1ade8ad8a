"""What intervals and tests are tried on: classes of known accuracy, and pairs of methods that are equal.

usage: python tests/statistics/simulated.py [SIMULATIONS]

prints how often the worst class's interval holds the truth, and how often equal methods raise a false alarm.
"""

import sys
from collections.abc import Iterator

import numpy as np

from srat.statistics.intervals import wilson
from srat.statistics.paired import holm, paired_difference
from srat.statistics.worst import worst_of

CLASSES, TRUTHS = (10, 100), ("equal", "high", "one", "two", "near", "spread")


def true_accuracies(classes: int, kind: str) -> np.ndarray:
    """Return accuracies of classes: all equal, one or two far below the others, close together, or spread out."""
    of_kind = {
        "equal": np.full(classes, 0.3),
        "high": np.full(classes, 0.9),
        "one": np.where(np.arange(classes) < 1, 0.3, 0.6),
        "two": np.where(np.arange(classes) < 2, 0.3, 0.6),
        "near": np.linspace(0.3, 0.36, classes),
        "spread": np.linspace(0.1, 0.8, classes),
    }
    return of_kind[kind]


def equal_methods(
    rng: np.random.Generator,
    *,
    seeds: int,
    each: int,
    of_seed: float,
    classes: int = 10,
    better: float = 0.0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield which images two equal methods get right, in each of 26 comparisons (of ten classes).

    Overall, for either half of the classes, and for each class, under two attacks. What an image's difficulty is, and
    what a method makes of it, is common to the seeds; every seed has its own way with each class.

    Args:
        rng: draws.
        seeds: of each method.
        each: images of each class.
        of_seed: deviation of a class between seeds, on the logit.
        classes: how many.
        better: what the second method is ahead, on the logit; for the power.
    """
    labels = np.repeat(np.arange(classes), each)
    of_image = 3 * rng.standard_normal(len(labels)) + rng.standard_normal((2, 1, len(labels)))
    logits = of_image + of_seed * rng.standard_normal((2, seeds, classes))[..., labels]
    logits[1] += better
    half = labels < classes // 2
    scopes = [np.ones_like(half), half, ~half, *(labels == c for c in range(classes))]
    for attack in (0.0, 0.7):
        first, second = rng.random(logits.shape) < 1 / (1 + np.exp(attack - logits))
        for scope in scopes:
            yield first[:, scope], second[:, scope]


def alarms(simulations: int, seed: int = 0, **methods: float) -> tuple[float, float]:
    """Return how often a family of comparisons has a corrected p below 0.05, and how often a single one has.

    Args:
        simulations: pairs of methods.
        seed: of the draws.
        methods: as for `equal_methods`.
    """
    rng, families, single = np.random.default_rng(seed), 0, []
    test = getattr(paired_difference, "__wrapped__", paired_difference)
    for _ in range(simulations):
        ps = [test(*pair).p for pair in equal_methods(rng, **methods)]
        families += min(holm(ps)) < 0.05
        single.append(np.mean(np.array(ps) < 0.05))
    return families / simulations, float(np.mean(single))


def worst_class(simulations: int, classes: int, each: int, kind: str) -> dict[str, float]:
    """Return how often the interval, and the naive one, hold the lowest true accuracy, and how wide it is beside that.

    Args:
        simulations: how many.
        classes: how many.
        each: images of each.
        kind: of accuracies; see `true_accuracies`.
    """
    rng, truth = np.random.default_rng(1), true_accuracies(classes, kind)
    ours = getattr(worst_of, "__wrapped__", worst_of)
    found = [ours(counts.tolist(), [each] * classes) for counts in rng.binomial(each, truth, (simulations, classes))]
    naive = [wilson(round(one.accuracy.accuracy * each), each) for one in found]
    return {
        "holds": np.mean([one.accuracy.low <= truth.min() <= one.accuracy.high for one in found]),
        "naive": np.mean([one.low <= truth.min() <= one.high for one in naive]),
        "wider": np.mean([one.accuracy.high - one.accuracy.low for one in found])
        / np.mean([one.high - one.low for one in naive]),
        "named": np.mean([int(truth.argmin()) in (one.number, *one.others) for one in found]),
        "others": np.mean([len(one.others) for one in found]),
    }


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    for classes in CLASSES:
        for each in (100, 1_000):
            for kind in TRUTHS:
                told = "  ".join(
                    f"{name} {value:.3f}" for name, value in worst_class(count, classes, each, kind).items()
                )
                print(f"worst of {classes} classes of {each}, {kind}: {told}", flush=True)
    for seeds in (1, 2, 3, 5):
        for each, of_seed in ((100, 0.5), (100, 0.1), (500, 0.5)):
            family, single = alarms(count // 2, seeds=seeds, each=each, of_seed=of_seed)
            told = f"families {100 * family:.1f} %, single p {100 * single:.1f} %"
            print(f"{seeds} seeds, {each} images a class, spread {of_seed}: {told}", flush=True)

"""Seconds of training until a model is as robust as a fully trained SRAT-LDAM is in the end.

Every contender trains on the same images for as many epochs. After each epoch its accuracy under PGD-20 is taken on
test images, with the clock stopped; nothing is chosen by it. The targets are what SRAT-LDAM (PGD-10) of the same seed
has after its last epoch, over all classes and over the rare ones.

usage: python benchmarks/time_to_robustness.py [--scale small] [--data digits] [--imbalance exp-100] [--seeds 3]
                                               [--images 1000] [--epochs N] [--only NAME …] [--json FILE] [--plot FILE]
"""

import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from measuring import environment, heading, parser, set_threads, synchronize, table
from typing_extensions import override

from srat.config.composition import compose, with_epochs
from srat.config.config import Config
from srat.data import Dataset, prepare
from srat.evaluation.evaluate import count
from srat.evaluation.groups import groups
from srat.evaluation.observer import Observer
from srat.recipes.making import imbalanced
from srat.recipes.scales import base_config
from srat.report.plots import COLORS, PAGE, draw
from srat.runtime.fabric import make_fabric
from srat.training.keeper import NullKeeper
from srat.training.loop import run_epochs
from srat.training.session import Training
from srat.training.setting_up import set_up

REFERENCE, OURS = "srat-ldam", "fast-bsl"
GROUPS = ("all", "rare")


class Point(NamedTuple):
    """What a model has after an epoch."""

    seconds: float
    """Of training."""
    all: float
    """Accuracy under PGD-20 over all classes."""
    rare: float
    """Over the rare ones."""


Curve = Sequence[Point]


def contenders(base: Config) -> dict[str, Config]:
    """Return who trains: name → configuration."""
    pgd = compose(base, attack="pgd-10")
    named = {name: compose(pgd, method=name) for name in (REFERENCE, "ce", "bsl")}
    single = {f"{name}, n-fgsm": compose(named[name], attack="n-fgsm") for name in ("ce", "bsl", REFERENCE)}
    return named | single | {OURS: compose(base, method=OURS)}


class Stopwatch(Observer):
    """Looks at a training after each epoch, with the clock stopped.

    Args:
        training: the training.
        test: images to attack.
        device: where it computes.
    """

    def __init__(self, training: Training, test: Dataset, device: str) -> None:
        self.curve: list[Point] = []
        self._training, self._test, self._device = training, test, device
        self._spent, self._since = 0.0, time.perf_counter()

    @override
    def epoch(self, row: Mapping[str, Any]) -> None:
        synchronize(self._device)
        self._spent += time.perf_counter() - self._since
        config = self._training.config
        counts = count(self._training.kept, self._test, config.evaluation, seed=config.seed)
        rare = groups(self._training.train.counts).under
        self.curve.append(Point(self._spent, counts.accuracy().accuracy, counts.accuracy(rare).accuracy))
        self._since = time.perf_counter()


def trained(config: Config, images: int, device: str) -> Curve:
    """Train a contender, and return its curve."""
    data = prepare(config.data.parts(None), config.imbalance, config.holdout, seed=config.seed)
    training = set_up(config, make_fabric(device, config.precision), data.train, data.held_out, None)
    watch = Stopwatch(training, config.data.test().sample(images), device)
    run_epochs(training, NullKeeper(), watch)
    return watch.curve


def reached(curve: Curve, target: float, group: str) -> float:
    """Return after how many seconds a curve is at a target; infinity if never."""
    return next((point.seconds for point in curve if getattr(point, group) >= target), math.inf)


def summary(curves: Mapping[str, Sequence[Curve]]) -> str:
    """Return a table, medians of seeds: what each comes to, its seconds, those to the reference's end, as its share."""
    rows = [("", "all %", "rare %", "seconds", *(f"to {REFERENCE}'s {group}" for group in GROUPS))]
    whole = statistics.median(curve[-1].seconds for curve in curves[REFERENCE])
    for name, own in curves.items():
        ends = [curve[-1] for curve in own]
        there = []
        for group in GROUPS:
            targets = [getattr(curve[-1], group) for curve in curves[REFERENCE]]
            pairs = zip(own, targets, strict=True)
            taken = statistics.median(reached(curve, target, group) for curve, target in pairs)
            there.append(f"{taken:.1f} ({taken / whole:.2f})" if math.isfinite(taken) else "not reached")
        figures = [f"{100 * statistics.median(getattr(end, group) for end in ends):.1f}" for group in GROUPS]
        rows.append((name, *figures, f"{statistics.median(end.seconds for end in ends):.1f}", *there))
    return table(rows)


def plot(curves: Mapping[str, Sequence[Curve]], path: Path) -> None:
    """Draw accuracy against seconds, a curve for each seed."""
    from matplotlib.figure import Figure

    def figure() -> Figure:
        drawn = Figure(figsize=(PAGE, 2.6), layout="constrained")
        for axes, group in zip(drawn.subplots(1, 2), GROUPS, strict=True):
            for color, (name, own) in zip(COLORS, curves.items(), strict=False):
                for number, curve in enumerate(own):
                    seconds, heights = [p.seconds for p in curve], [100 * getattr(p, group) for p in curve]
                    axes.plot(seconds, heights, color=color, label=name if number == 0 else None)
            axes.set(xlabel="seconds of training", ylabel="accuracy under PGD-20 (%)")
            axes.set_title(f"{group} classes", loc="left")
        drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(curves))
        return drawn

    draw([path], figure)


def main() -> None:
    """Train, print, and write the figures."""
    options_of = parser(__doc__)
    options_of.add_argument("--scale", default="small", choices=("paper", "medium", "small"))
    options_of.add_argument("--data", default="digits")
    options_of.add_argument("--imbalance", default="exp-100", help="in the paper's words")
    options_of.add_argument("--seeds", type=int, default=3)
    options_of.add_argument("--images", type=int, default=1000, help="test images")
    options_of.add_argument("--epochs", type=int, help="of each; the scale's by default")
    options_of.add_argument("--only", nargs="+", metavar="NAME", help="whom to train beside the reference")
    options_of.add_argument("--json", type=Path, metavar="FILE", help="where to write the curves")
    options_of.add_argument("--plot", type=Path, metavar="FILE", help="where to draw them")
    options = options_of.parse_args()
    set_threads(options)
    base = imbalanced(base_config(options.scale, options.data), options.imbalance)
    known = contenders(base if options.epochs is None else with_epochs(base, options.epochs))
    chosen = {name: known[name] for name in known if name == REFERENCE or name in (options.only or known)}
    curves: dict[str, list[Curve]] = {name: [] for name in chosen}
    for seed in range(options.seeds):
        for name, config in chosen.items():  # in turns, so that what slows the machine slows all of them
            curves[name].append(trained(replace(config, seed=seed), options.images, options.device))
    print(heading(options.device, data=options.data, imbalance=options.imbalance, epochs=chosen[REFERENCE].epochs))
    print(summary(curves))
    if options.json is not None:
        content = environment(options.device) | {"curves": {name: list(map(list, own)) for name, own in curves.items()}}
        options.json.write_text(json.dumps(content) + "\n")
    if options.plot is not None:
        plot(curves, options.plot)


if __name__ == "__main__":
    main()

"""Catastrophic overfitting, and the guard against it: FGSM without noise at ε = 16/255 on a part of CIFAR-10.

usage: SRAT_DATA_DIR=… python docs/results/collapse.py [--epochs 15] [--images 500] [--ratio 1] [--filters 32]
       [--seeds 0 1 2]

A network of one convolution and a linear layer (Andriushchenko and Flammarion, 2020, find the effect in one of four
filters) learns so many images of each class: under PGD-3 with steps of ε/2, under FGSM, and under FGSM with the guard.
What it has come to is tested on the first 1,000 test images. About two minutes a seed on one CPU core.
"""

import argparse
from dataclasses import replace

import torch
from torch import nn

import srat
from srat.attacks import FGSM, PGD, Attack, Natural
from srat.config.config import Config
from srat.data import Dataset, Holdout
from srat.data.imbalance import Step
from srat.evaluation.evaluate import count
from srat.evaluation.observer import Observer
from srat.guards import CollapseGuard, Guard, NoGuard
from srat.optimization.optimizers import AdamW

EPSILON = 16 / 255
PGD_3 = PGD(epsilon=EPSILON, step_size=EPSILON / 2, steps=3)
PGD_20 = PGD(epsilon=EPSILON, step_size=EPSILON / 4, steps=20)
TRAININGS: tuple[tuple[str, Attack, Guard], ...] = (
    ("pgd-3", PGD_3, NoGuard()),
    ("fgsm", FGSM(epsilon=EPSILON), NoGuard()),
    ("fgsm, guarded", FGSM(epsilon=EPSILON), CollapseGuard()),
)
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


class Told(Observer):
    """Prints what the guard says."""

    def notice(self, text: str) -> None:
        """Print it."""
        if "overfitting" in text:
            print(f"  {text}", flush=True)


def trained(config: Config, filters: int) -> srat.Run:
    """Return the run of a network with so many filters."""
    torch.manual_seed(config.seed)
    convolution = nn.Conv2d(3, filters, 3, stride=2, padding=1)
    module = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(filters * 16 * 16, 10))
    return srat.fit(config, model=srat.models.wrap(module, mean=MEAN, std=STD), observer=Told())


def shown(model: nn.Module, test: Dataset, attack: Attack) -> str:
    """Return the accuracy on test images, with its interval."""
    found = count(model, test, attack, seed=0).accuracy()
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * number for number in found))


def main() -> None:
    """Train, test, and print a row for each training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--images", type=int, default=500, help="of each class")
    parser.add_argument("--ratio", type=float, default=1.0, help="of step imbalance")
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    base = srat.compose(method="ce", data="cifar10", augmentation="none", epsilon=EPSILON, batch_size=64)
    base = replace(base, imbalance=Step(ratio=options.ratio, cap=options.images), holdout=Holdout(fraction=0.0))
    base = replace(base, epochs=options.epochs, optimizer=AdamW(learning_rate=0.003))
    test = base.data.test().subset(torch.arange(1000))
    rows = []
    for seed in options.seeds:
        for name, attack, guard in TRAININGS:
            run = trained(replace(base, seed=seed, attack=attack, guard=guard), options.filters)
            accuracies = [shown(run.model, test, each) for each in (Natural(), FGSM(epsilon=EPSILON), PGD_20)]
            last = run.history[-1]
            numbers = (f"{100 * last['train_accuracy']:.1f}", *accuracies, f"{last.get('guard_remedies', '')}")
            rows.append((str(seed), name, *numbers, f"{run.seconds:.0f}"))
            print(" | ".join(rows[-1]), flush=True)
    headings = ("seed", "training", "training images, attacked", "clean", "FGSM", "PGD-20", "gone back", "seconds")
    print("", " | ".join(headings), " | ".join("---" for _ in headings), *map(" | ".join, rows), sep="\n")


if __name__ == "__main__":
    main()

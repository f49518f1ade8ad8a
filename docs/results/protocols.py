"""Others' evaluation protocols on a run of ours, beside our own numbers on the same images.

RobustBench: accuracy, and AutoAttack's standard version by its authors' own evaluation, on the first images.
MAIR: accuracy on the images that torchattacks' PGD leaves, twenty steps of 2/255 from a random start, all test images.

usage: python docs/results/protocols.py RUN [--autoattack-images N] [--device cuda]
"""

import argparse
import logging
import warnings
from pathlib import Path

import torch

import srat
from srat.attacks import PGD
from srat.attacks.autoattack import AutoAttack
from srat.data import Dataset, to_unit
from srat.evaluation.evaluate import count
from srat.evaluation.serving import lent_exactly
from srat.models import logits_of
from srat.statistics.intervals import wilson


def said(correct: int, total: int) -> str:
    """Return an accuracy with its interval, in per cent."""
    accuracy = wilson(correct, total)
    return f"{100 * accuracy.accuracy:.1f} [{100 * accuracy.low:.1f}, {100 * accuracy.high:.1f}]"


def robustbench(model: torch.nn.Module, data: Dataset, epsilon: float, seed: int) -> int:
    """Return how many images RobustBench's protocol counts as robust."""
    import pyautoattack

    warnings.simplefilter("ignore")
    logging.disable()
    device = str(data.labels.device)
    attack = pyautoattack.AutoAttack(
        lambda x: logits_of(model(x)).clone(), norm="Linf", eps=epsilon, seed=seed, version="standard", device=device
    )
    images, labels = to_unit(data.images), data.labels
    adversarial, _ = attack.run_standard_evaluation(images, labels, batch_size=250)
    with torch.no_grad():
        return int((logits_of(model(adversarial)).argmax(dim=1) == labels).sum())


def mair(model: torch.nn.Module, data: Dataset, epsilon: float) -> int:
    """Return how many images MAIR's protocol counts as robust."""
    import torchattacks

    class Logits(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return logits_of(model(x))

    attack = torchattacks.PGD(Logits().eval(), eps=epsilon, alpha=2 / 255, steps=20, random_start=True)
    attack.device = data.labels.device
    correct = 0
    for images, labels in zip(torch.split(data.images, 250), torch.split(data.labels, 250), strict=True):
        adversarial = attack(to_unit(images), labels)
        with torch.no_grad():
            correct += int((logits_of(model(adversarial)).argmax(dim=1) == labels).sum())
    return correct


def main() -> None:
    """Evaluate both ways, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--autoattack-images", type=int, default=200)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    model = srat.load(options.run, device=options.device)
    test = srat.data_of(options.run).test()
    data, threat = test.to(options.device), PGD(steps=20)
    first = data.subset(torch.arange(options.autoattack_images))
    torch.manual_seed(0)
    with lent_exactly(model) as lent:
        theirs = {"MAIR, PGD-20": mair(lent, data, threat.epsilon)}
        theirs["RobustBench, AutoAttack"] = robustbench(lent, first, threat.epsilon, seed=0)
    ours = {
        "MAIR, PGD-20": count(model, data, threat, seed=0),
        "RobustBench, AutoAttack": count(model, first, AutoAttack(epsilon=threat.epsilon), seed=0),
    }
    for name, counts in ours.items():
        total = sum(counts.total)
        own = said(sum(counts.correct), total)
        print(f"{name} on {total:,} images: theirs {said(theirs[name], total)}, ours {own}")


if __name__ == "__main__":
    main()

"""Integer counts per class, of which every other number is made."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from srat.attacks import AnyAttack
from srat.data import Dataset
from srat.evaluation.intervals import Accuracy, wilson
from srat.evaluation.survival import Trial, outcome
from srat.models import attacked
from srat.observer import Observer
from srat.precision import tensor_float
from srat.processes import ALONE, Processes


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Correct and all examples of each class."""

    correct: tuple[int, ...]
    total: tuple[int, ...]

    def accuracy(self, classes: Iterable[int] | None = None) -> Accuracy:
        """Return the accuracy over the examples of the given classes (all by default), with its interval."""
        chosen = range(len(self.total)) if classes is None else list(classes)
        return wilson(sum(self.correct[c] for c in chosen), sum(self.total[c] for c in chosen))

    def macro(self) -> float:
        """Return the mean of the classes' accuracies; classes without an example do not count."""
        shares = [right / all_ for right, all_ in zip(self.correct, self.total, strict=True) if all_]
        return sum(shares) / len(shares) if shares else math.nan

    def worst_class(self) -> int:
        """Return the class of the lowest accuracy, the first of several."""
        rows = enumerate(zip(self.correct, self.total, strict=True))
        return min(((right / all_, c) for c, (right, all_) in rows if all_), default=(0.0, 0))[1]


def count(
    model: nn.Module,
    dataset: Dataset,
    attack: AnyAttack,
    *,
    seed: int,
    batch_size: int = 250,
    processes: Processes = ALONE,
    observer: Observer | None = None,
) -> Counts:
    """Return how many examples of each class the model gets right, clean and at every point that an attack comes to.

    The attack maximises cross-entropy on the logits that are served, in fp32, with every module in eval mode; the
    modes come back afterwards. An image that is wrong once is not attacked any further.

    Args:
        model: images in [0, 1] → logits, or an output that has them.
        dataset: what to evaluate on, on the model's device.
        attack: the attack; ``Natural()`` for clean accuracy.
        seed: of the attack's randomness; each image has its own, in batches of any size.
        batch_size: images in a batch.
        processes: those that share the images; each gets the counts of all.
        observer: told of the images that are done with.
    """
    observer = observer or Observer()
    with attacked(model) as served, tensor_float(False):
        trial = Trial(
            model=served, dataset=dataset, seed=seed, batch_size=batch_size, observer=observer, processes=processes
        )
        observer.evaluating(attack.label, images=len(trial.mine()))
        survived = outcome(trial, attack).survived
    observer.finished()
    correct = torch.bincount(dataset.labels[survived], minlength=len(dataset.class_names))
    return Counts(correct=tuple(correct.tolist()), total=dataset.counts)

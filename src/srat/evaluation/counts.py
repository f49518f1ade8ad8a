"""Integer counts per class, of which every other number is made."""

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from srat.attacks import Attack
from srat.data import Dataset, to_unit
from srat.evaluation.intervals import Accuracy, wilson
from srat.models import attacked, logits_of
from srat.observer import Observer
from srat.random import generator


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


def full_precision() -> AbstractContextManager[None]:
    """Return a context without TF32, which convolutions on newer GPUs use for fp32 unless told otherwise."""
    cudnn = torch.backends.cudnn
    return cudnn.flags(
        enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
    )


def count(
    model: nn.Module,
    dataset: Dataset,
    attack: Attack,
    *,
    seed: int,
    batch_size: int = 250,
    observer: Observer | None = None,
) -> Counts:
    """Return how many examples of each class the model gets right under an attack.

    The attack maximises cross-entropy on the logits that are served, in fp32, with every module in eval mode; the
    modes come back afterwards. Counts stay on the device until the end.

    Args:
        model: images in [0, 1] → logits, or an output that has them.
        dataset: what to evaluate on, on the model's device.
        attack: the attack; ``Natural()`` for clean accuracy.
        seed: of the attack's randomness; batches of another size draw other starts.
        batch_size: images in a batch.
        observer: told of each batch.
    """
    observer = observer or Observer()
    observer.evaluating(attack.label, batches=math.ceil(len(dataset) / batch_size))
    classes = len(dataset.class_names)
    correct = torch.zeros(classes, dtype=torch.long, device=dataset.labels.device)
    with attacked(model) as served, full_precision():
        for step, start in enumerate(range(0, len(dataset), batch_size)):
            images = to_unit(dataset.images[start : start + batch_size])
            labels = dataset.labels[start : start + batch_size]

            def loss_at(x: torch.Tensor, labels: torch.Tensor = labels) -> torch.Tensor:
                return F.cross_entropy(logits_of(served(x)), labels, reduction="none")

            rng = generator(seed, f"evaluation/{attack.label}", step=step, device=images.device)
            adversarial = attack.perturb(loss_at, images, generator=rng)
            with torch.no_grad():
                logits = logits_of(served(adversarial))
            # NaN would count as a vote for class 0.
            hits = (logits.argmax(dim=1) == labels) & logits.isfinite().all(dim=1)
            correct.index_add_(0, labels, hits.long())
            observer.step()
    observer.finished()
    return Counts(correct=tuple(correct.tolist()), total=dataset.counts)

"""What a model's probabilities are worth: how well they rank the images, and whether they say what happens."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from srat.core.checked import checked
from srat.core.errors import require
from srat.data import Dataset
from srat.evaluation.expected import Expected, of_part
from srat.evaluation.observer import Observer
from srat.evaluation.serving import BATCH_SIZE, lent_exactly
from srat.evaluation.trial import Trial
from srat.models import logits_at

BINS = 15
"""Bins of equal width that probabilities are put into (Guo et al., 2017)."""
_DIGITS = 6
"""Decimals that are kept: sums of another order differ beyond them."""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The images whose largest probability lies in one of the bins."""

    images: int
    right: int
    confidence: float
    """The mean of their largest probabilities; 0 without images."""

    def __post_init__(self) -> None:
        require(0 <= self.right <= self.images, f"bins: expected 0 to {self.images} right images, got {self.right}")
        require(0 <= self.confidence <= 1, f"bins: expected a confidence of 0 to 1, got {self.confidence}")


@dataclass(frozen=True, kw_only=True)
class Probabilities:
    """How good a model's probabilities are, on images as they are."""

    log_loss: float
    """The mean of −log p of the true class."""
    auc: tuple[float | None, ...]
    """By class, the area under the ROC curve of its probability: it against the rest; None where it has no image, or
    all have it."""
    bins: tuple[Bin, ...]
    """From the least to the most confident."""

    def __post_init__(self) -> None:
        require(len(self.bins) >= 1, "bins: expected at least 1, got none")
        require(self.log_loss >= 0, f"log_loss: expected 0 or more, got {self.log_loss}")
        areas = all(area is None or 0 <= area <= 1 for area in self.auc)
        require(areas, "auc: expected numbers of 0 to 1")

    @property
    def calibration_error(self) -> float:
        """The expected calibration error, Σ n_b/n |right_b/n_b − confidence_b|, in [0, 1] (Guo et al., 2017, Eq. 3)."""
        images = sum(each.images for each in self.bins)
        off = (abs(each.right - each.images * each.confidence) for each in self.bins)
        return sum(off) / images if images else math.nan

    @property
    def mean_auc(self) -> float | None:
        """The mean of the classes' areas; None where no class has one."""
        areas = [area for area in self.auc if area is not None]
        return sum(areas) / len(areas) if areas else None


@checked
def probabilities_of(
    model: nn.Module, dataset: Dataset, *, batch_size: int = BATCH_SIZE, observer: Observer | None = None
) -> Probabilities:
    """Return how good a model's probabilities are on images as they are.

    Args:
        model: images in [0, 1] → logits, or an output that has them.
        dataset: the images, on the model's device; at least one.
        batch_size: images in a batch.
        observer: told how many images are finished.

    Raises:
        UserError: if there is no image, or no room for one in a batch.
    """
    logits = clean_logits(model, dataset, batch_size=batch_size, observer=observer)
    return judged(logits, dataset.labels.cpu())


@checked
def clean_logits(
    model: nn.Module, dataset: Dataset, *, batch_size: int = BATCH_SIZE, observer: Observer | None = None
) -> Float[Tensor, "n classes"]:
    """Return what a model in eval mode says of images as they are, on the CPU; arguments as `probabilities_of`.

    A model that answers at random has the draws of each batch that `examine` gives it.
    """
    require(batch_size >= 1, f"batch_size: expected at least 1, got {batch_size}")
    require(len(dataset) >= 1, "dataset: expected at least one image, got none")
    observer, found = observer or Observer(), []
    observer.evaluating("probabilities", images=len(dataset))
    with torch.no_grad(), lent_exactly(model) as lent:
        trial = Trial(model=lent, dataset=dataset, seed=0, batch_size=batch_size, observer=observer)
        parts = torch.split(trial.mine(), trial.slots)
        for number, images in enumerate(trial.brought(parts)):
            served = of_part(model, number) if isinstance(model, Expected) and len(parts) > 1 else lent
            found.append(logits_at(served, images).float().cpu())
            observer.images_done(len(images))
    observer.finished()
    return torch.cat(found)


@checked
def judged(logits: Float[Tensor, "n classes"], labels: Int[Tensor, " n"], *, temperature: float = 1.0) -> Probabilities:
    """Return how good the probabilities softmax(z/T) are.

    Logits that are NaN or infinite count as all classes alike, and as wrong.

    Args:
        logits: z, (n, classes), at least one image.
        labels: (n,), the true classes.
        temperature: T, above 0.

    Raises:
        UserError: if there is no image, or the temperature is not above 0.
    """
    require(len(logits) >= 1, "logits: expected those of at least one image, got none")
    require(temperature > 0, f"temperature: expected a number above 0, got {temperature}")
    finite = logits.isfinite().all(dim=1)
    shown = torch.where(finite[:, None], logits.double(), 0.0) / temperature
    logs = shown.log_softmax(dim=1)
    confidence, predicted = logs.exp().max(dim=1)
    areas = [one_vs_rest(logs[:, c], labels == c) for c in range(logs.shape[1])]
    return Probabilities(
        log_loss=max(0.0, round(-float(logs.gather(1, labels[:, None]).mean()), _DIGITS)),
        auc=tuple(None if area is None else round(area, _DIGITS) for area in areas),
        bins=reliability(confidence, (predicted == labels) & finite),
    )


@checked
def one_vs_rest(scores: Float[Tensor, " n"], positive: Bool[Tensor, " n"]) -> float | None:
    """Return the area under the ROC curve: how often a positive has the higher score, ties counted half.

    (R − P(P+1)/2) / (P N), R the sum of the positives' ranks, tied ones sharing theirs.

    Args:
        scores: (n,), larger for what is taken to be positive.
        positive: (n,), which are.

    Returns:
        In [0, 1]; None where there is no positive, or nothing else.

    Source: Mann and Whitney, 1947; Hanley and McNeil, 1982.
    """
    positives = int(positive.sum())
    if not 0 < positives < len(positive):
        return None
    _, places, counts = torch.unique(scores, return_inverse=True, return_counts=True)  # in ascending order
    ranks = counts.cumsum(0).double() - (counts - 1).double() / 2
    above = float(ranks[places][positive].sum()) - positives * (positives + 1) / 2
    return above / (positives * (len(positive) - positives))


@checked
def reliability(confidence: Float[Tensor, " n"], right: Bool[Tensor, " n"], *, bins: int = BINS) -> tuple[Bin, ...]:
    """Return how many images are right at each confidence, in bins ((b−1)/B, b/B] of equal width.

    Args:
        confidence: (n,), the largest probability of each image, in [0, 1].
        right: (n,), which images are right.
        bins: B, at least 1.

    Raises:
        UserError: if there is no bin.

    Source: Guo et al., 2017, Section 2.
    """
    require(bins >= 1, f"bins: expected at least 1, got {bins}")
    place = ((confidence.double() * bins).ceil().long() - 1).clamp(0, bins - 1)
    images = torch.bincount(place, minlength=bins)
    hits = torch.bincount(place[right], minlength=bins)
    sums = torch.bincount(place, weights=confidence.double(), minlength=bins)
    means = (sums / images.clamp(min=1)).clamp(max=1).tolist()
    return tuple(
        Bin(images=n, right=r, confidence=round(c, _DIGITS))
        for n, r, c in zip(images.tolist(), hits.tolist(), means, strict=True)
    )

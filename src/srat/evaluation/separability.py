"""How well the classes lie apart in the space of features, in numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from srat.attacks import Attack
from srat.core.checked import checked
from srat.core.errors import UserError, require, require_field
from srat.core.gradients import taking_gradients
from srat.core.keyed_random import generator
from srat.data import Dataset, to_unit
from srat.data.counts import require_labels
from srat.evaluation.comparison import Scope, scopes
from srat.evaluation.groups import Groups
from srat.evaluation.observer import Observer
from srat.evaluation.serving import BATCH_SIZE, last_points, lent_exactly
from srat.models import Output
from srat.models.asking import output_of

Features = Float[NDArray[np.float64], "n dimensions"]
Labels = Int[NDArray[np.int64], " n"]
NEIGHBOURS = 10
RESAMPLES = 1_000
_SEEDS = 1 << 128
"""NumPy takes no seed below 0, which a run may have."""


class Estimate(NamedTuple):
    """A number, corrected for its bias, and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Separability:
    """How well the images of a scope lie apart from other classes'."""

    scope: str
    """"overall", a group, or a class's name."""
    is_class: bool
    """Whether the scope is one class."""
    fisher: Estimate
    """Σ_c n_c ‖μ_c − μ‖² / Σ_c Σ_i ‖x_i − μ_c‖² over the scope's classes, μ the mean of all images, ≥ 0."""
    silhouette: Estimate
    """Mean of (b − a) / max(a, b), a the mean distance to the own class, b to the nearest other; in [−1, 1]."""
    purity: Estimate
    """Share of the ten nearest neighbours that are of the same class, in [0, 1]."""


@checked
def silhouettes(features: Features, labels: Labels) -> Float[NDArray[np.float64], " n"]:
    """Return (b − a) / max(a, b) of each image, in Euclidean distances (Rousseeuw, 1987).

    Args:
        features: (n, dimensions).
        labels: (n,), of at least two classes, and fewer than there are images.

    Raises:
        UserError: if they are not, or a feature is no number.
    """
    _check_features(features)
    classes = len(np.unique(labels))
    require(2 <= classes < len(labels), f"labels: expected 2 to {len(labels) - 1} classes, got {classes}")
    from sklearn.metrics import silhouette_samples

    values: NDArray[np.float64] = silhouette_samples(features, labels)
    return values.astype(np.float64)


@checked
def purities(features: Features, labels: Labels, neighbours: int = NEIGHBOURS) -> Float[NDArray[np.float64], " n"]:
    """Return for each image the share of its nearest neighbours, itself not among them, that are of its class.

    Args:
        features: (n, dimensions).
        labels: (n,).
        neighbours: how many are looked at, fewer than there are images.

    Raises:
        UserError: if there are too few images, or a feature is no number.
    """
    _check_features(features)
    most = len(features) - 1
    require(1 <= neighbours <= most, f"neighbours: expected 1 to {most} of {len(features)} images, got {neighbours}")
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=neighbours).fit(features).kneighbors(return_distance=False)
    same: NDArray[np.float64] = (labels[nearest] == labels[:, None]).mean(axis=1)
    return same


@checked
def separability(
    features: Features, labels: Labels, class_names: Sequence[str], groups: Groups, *, seed: int
) -> list[Separability]:
    """Return how well the classes lie apart: overall, by group if there are two, and by class.

    Classes of too few images to have ten neighbours of their own are left out. The bootstrap draws images anew within
    each class. Silhouettes and purities it takes as they are: of images drawn twice, each would be the other's nearest
    neighbour.

    Args:
        features: (n, dimensions).
        labels: (n,).
        class_names: a name for each class.
        groups: which classes are well- and which under-represented.
        seed: of the bootstrap.

    Raises:
        UserError: if fewer than two classes have images enough, or a feature is no number.

    Source: Fisher, 1936 (in the form of traces); Rousseeuw, 1987; Efron and Tibshirani, 1993, for the basic interval.
    """
    _check_features(features)
    require_labels(torch.from_numpy(labels), len(class_names))
    counts = np.bincount(labels, minlength=len(class_names))
    enough = counts > NEIGHBOURS
    _check_two(counts.tolist())
    features, labels = features[enough[labels]], labels[enough[labels]]
    weights = np.concatenate([np.ones((1, len(labels))), _resampled(labels, seed)])
    between, within = _scatters(features, labels, weights)
    silhouette, purity = silhouettes(features, labels), purities(features, labels)

    def of(scope: Scope) -> Separability:
        inside = scope.chosen
        classes = np.unique(labels[inside])
        share = weights[:, inside] / inside.sum()
        ratios = between[:, classes].sum(axis=1) / np.maximum(within[:, classes].sum(axis=1), 1e-12)
        return Separability(
            scope=scope.name,
            is_class=scope.is_class,
            fisher=_fisher(ratios),
            silhouette=_estimate(share @ silhouette[inside], -1.0, 1.0),
            purity=_estimate(share @ purity[inside], 0.0, 1.0),
        )

    return [of(scope) for scope in scopes(labels, class_names, groups)]


@checked
def require_enough(available: Sequence[int], images: int) -> None:
    """Raise ``UserError`` unless a sample has images enough of two classes.

    Args:
        available: (classes,), the images that there are of each class.
        images: how many are taken at the most, as many of each class.
    """
    _check_two(available)
    each, classes = NEIGHBOURS + 1, len(available)
    least = f"at least {each * classes:,}, {each} of each of {classes} classes"
    require_field(images >= each * classes, "images", least, images)


def _check_two(counts: Sequence[int]) -> None:
    """Raise ``UserError`` unless two classes have so many images that each has ten neighbours of its own."""
    most, second = sorted((0, 0, *counts))[:-3:-1]
    wanted = f"at least {NEIGHBOURS + 1} images of each of two classes"
    require(second > NEIGHBOURS, f"separability: expected {wanted}, got {most:,} and {second:,} at the most")


def _check_features(features: Features) -> None:
    """Raise ``UserError`` unless there are features, all of them numbers."""
    require(min(features.shape) > 0, f"features: expected at least one, got shape {features.shape}")
    finite = np.isfinite(features)
    if not finite.all():
        raise UserError(f"features: expected finite numbers, got {features[~finite][0]}")


@taking_gradients
@checked
def features_of(
    model: nn.Module, dataset: Dataset, attack: Attack, *, seed: int, observer: Observer | None = None
) -> Features:
    """Return the penultimate features of each image, on the unit sphere, where an attack leaves it.

    Args:
        model: images in [0, 1] → Output(logits, features, embedding).
        dataset: the images, on the model's device.
        attack: the attack, of which the last points are taken; ``Natural()`` leaves the images as they are.
        seed: of its randomness.
        observer: told how many images are finished.

    Raises:
        UserError: if the model does not say what its features are.
    """
    observer = observer or Observer()
    observer.evaluating(f"features, {attack.label}", images=len(dataset))
    rows = []
    device = dataset.labels.device
    with lent_exactly(model) as lent:
        for number, chosen in enumerate(torch.split(torch.arange(len(dataset)), BATCH_SIZE)):
            part = dataset.subset(chosen)
            images = to_unit(part.images[:].to(device))
            rng = generator(seed, f"features/{attack.label}", step=number, device=device)
            points = last_points(lent, images, part.labels, attack, generator=rng)
            with torch.no_grad():
                output: Any = output_of(lent, points)
            said = f"{type(model).__name__} returns logits alone: expected an Output that has features"
            require(isinstance(output, Output), said)
            rows.append(F.normalize(output.features.float(), dim=1).double().cpu())
            observer.images_done(len(chosen))
    observer.finished()
    return torch.cat(rows).numpy()


def to_plain(found: Sequence[Separability]) -> list[dict[str, Any]]:
    """Return the numbers as JSON-able values."""
    numbers = ("fisher", "silhouette", "purity")
    return [
        {"scope": each.scope, "is_class": each.is_class} | {name: getattr(each, name)._asdict() for name in numbers}
        for each in found
    ]


def _resampled(labels: Labels, seed: int) -> Float[NDArray[np.float64], "resamples n"]:
    """Return how often each image is drawn, in each of the bootstrap's draws; every class keeps its number."""
    rng = np.random.default_rng(seed % _SEEDS)
    weights = np.zeros((RESAMPLES, len(labels)))
    for c in np.unique(labels):
        mine = labels == c
        weights[:, mine] = rng.multinomial(mine.sum(), np.full(mine.sum(), 1 / mine.sum()), size=RESAMPLES)
    return weights


def _scatters(
    features: Features, labels: Labels, weights: Float[NDArray[np.float64], "draws n"]
) -> tuple[Float[NDArray[np.float64], "draws classes"], Float[NDArray[np.float64], "draws classes"]]:
    """Return between- and within-class scatter of each class, for images that count so often."""
    shape = (len(weights), int(labels.max()) + 1)
    between, within = np.zeros(shape), np.zeros(shape)
    mean = weights @ features / weights.sum(axis=1, keepdims=True)
    for c in np.unique(labels):
        mine: Bool[NDArray[np.bool_], " n"] = labels == c
        count = weights[:, mine].sum(axis=1)
        of_class = weights[:, mine] @ features[mine] / count[:, None]
        between[:, c] = count * ((of_class - mean) ** 2).sum(axis=1)
        squares = weights[:, mine] @ (features[mine] ** 2).sum(axis=1)
        within[:, c] = np.maximum(squares - count * (of_class**2).sum(axis=1), 0.0)
    return between, within


def _fisher(ratios: Float[NDArray[np.float64], " draws"]) -> Estimate:
    """Return the first ratio less its bias, with its interval.

    Few images push class means apart: of drawn images the ratio is larger than of all, and of all larger than of the
    class, by about the same factor.
    """
    value, low, high = _estimate(ratios, 0.0, math.inf)
    factor = float(np.exp(np.log(np.maximum(ratios[1:], 1e-12)).mean()) / max(value, 1e-12))
    return Estimate(min(max(value / factor, low), high), low, high)


def _estimate(values: Float[NDArray[np.float64], " draws"], least: float, most: float) -> Estimate:
    """Return the first value, and the basic interval of the others, between the bounds that it has.

    A percentile interval would have the bias of the draws beside that of the value.
    """
    value, (low, high) = values[0], np.percentile(values[1:], [2.5, 97.5])
    return Estimate(*(float(np.clip(end, least, most)) for end in (value, 2 * value - high, 2 * value - low)))

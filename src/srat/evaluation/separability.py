"""How well the classes lie apart in the space of features, in numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from srat.attacks import Attack
from srat.data import Dataset, to_unit
from srat.errors import require
from srat.evaluation.groups import Groups
from srat.losses import cross_entropy
from srat.models import Output, attacked, logits_of
from srat.observer import Observer
from srat.random import generator

Features = Float[NDArray[np.float64], "n dimensions"]
Labels = Int[NDArray[np.int64], " n"]
NEIGHBOURS = 10
RESAMPLES = 1_000
_BATCH = 250


class Estimate(NamedTuple):
    """A number, corrected for its bias, and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Separability:
    """How well the images of a scope lie apart from other classes'."""

    fisher: Estimate
    """Between-class over within-class scatter, ≥ 0."""
    silhouette: Estimate
    """Mean of (b − a) / max(a, b), a the mean distance to the own class, b to the nearest other; in [−1, 1]."""
    purity: Estimate
    """Share of the nearest neighbours that are of the same class, in [0, 1]."""


def fisher_ratio(features: Features, labels: Labels, classes: Sequence[int]) -> float:
    """Return Σ_c n_c ‖μ_c − μ‖² / Σ_c Σ_i ‖x_i − μ_c‖² over some classes, μ the mean of all images.

    Args:
        features: (n, dimensions).
        labels: (n,).
        classes: those that are summed over.

    Source: Fisher, 1936, in the form of traces.
    """
    between, within = _scatters(features, labels, np.ones((1, len(labels))))
    return float(between[:, classes].sum() / within[:, classes].sum())


def silhouettes(features: Features, labels: Labels) -> Float[NDArray[np.float64], " n"]:
    """Return (b − a) / max(a, b) of each image, in Euclidean distances (Rousseeuw, 1987)."""
    from sklearn.metrics import silhouette_samples

    values: NDArray[np.float64] = silhouette_samples(features, labels)
    return values.astype(np.float64)


def purities(features: Features, labels: Labels, neighbours: int = NEIGHBOURS) -> Float[NDArray[np.float64], " n"]:
    """Return for each image the share of its nearest neighbours, itself not among them, that are of its class."""
    from sklearn.neighbors import NearestNeighbors

    count = min(neighbours, len(labels) - 1)
    nearest = NearestNeighbors(n_neighbors=count).fit(features).kneighbors(return_distance=False)
    same: NDArray[np.float64] = (labels[nearest] == labels[:, None]).mean(axis=1)
    return same


def separability(
    features: Features, labels: Labels, class_names: Sequence[str], groups: Groups, *, seed: int
) -> dict[str, Separability]:
    """Return how well the classes lie apart: overall, by group and by class, by its name.

    The bootstrap draws images anew within each class. Silhouettes and purities it takes as they are: of images drawn
    twice, each would be the other's nearest neighbour.

    Args:
        features: (n, dimensions), at least two of each of two classes.
        labels: (n,).
        class_names: a name for each class.
        groups: which classes are well- and which under-represented.
        seed: of the bootstrap.
    """
    present = [c for c in range(len(class_names)) if (labels == c).any()]
    require(len(present) >= 2, "separability: expected images of two classes at the least")
    scopes = {"overall": present} | {
        name: chosen
        for name, members in (("well-represented", groups.well), ("under-represented", groups.under))
        if (chosen := [c for c in members if c in present])
    }
    scopes |= {class_names[c]: [c] for c in present}
    weights = np.concatenate([np.ones((1, len(labels))), _resampled(labels, seed)])
    between, within = _scatters(features, labels, weights)
    by_image = {"silhouette": silhouettes(features, labels), "purity": purities(features, labels)}
    found = {}
    for name, classes in scopes.items():
        inside = np.isin(labels, classes)
        fisher = between[:, classes].sum(axis=1) / np.maximum(within[:, classes].sum(axis=1), 1e-300)
        means = {what: weights[:, inside] @ values[inside] / inside.sum() for what, values in by_image.items()}
        found[name] = Separability(
            fisher=_estimate(fisher, 0.0, math.inf),
            silhouette=_estimate(means["silhouette"], -1.0, 1.0),
            purity=_estimate(means["purity"], 0.0, 1.0),
        )
    return found


def features_of(
    model: nn.Module, dataset: Dataset, attack: Attack, *, seed: int, observer: Observer | None = None
) -> Features:
    """Return the penultimate features of each image, on the unit sphere, where an attack leaves it.

    Args:
        model: images in [0, 1] → Output(logits, features, embedding).
        dataset: the images, on the model's device.
        attack: the attack, of which the last points are taken; ``Natural()`` leaves the images as they are.
        seed: of its randomness.
        observer: told of the images that are done with.

    Raises:
        UserError: if the model does not say what its features are.
    """
    observer = observer or Observer()
    observer.evaluating(f"features, {attack.label}", images=len(dataset))
    rows = []
    device = dataset.labels.device
    with attacked(model) as served:
        for number, chosen in enumerate(torch.split(torch.arange(len(dataset)), _BATCH)):
            part = dataset.subset(chosen)
            images, labels = to_unit(part.images[:].to(device)), part.labels

            def loss_at(x: torch.Tensor, labels: torch.Tensor = labels) -> torch.Tensor:
                return cross_entropy(logits_of(served(x)), labels)

            rng = generator(seed, f"features/{attack.label}", step=number, device=device)
            points = attack.perturb(loss_at, images, generator=rng)
            with torch.no_grad():
                output = served(points)
            require(
                isinstance(output, Output), f"{type(model).__name__} returns logits alone: wrap it to have features"
            )
            rows.append(F.normalize(output.features, dim=1).double().cpu())
            observer.step(len(chosen))
    observer.finished()
    return torch.cat(rows).numpy()


def to_plain(found: Mapping[str, Separability]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the numbers as JSON-able values."""
    return {
        scope: {name: getattr(each, name)._asdict() for name in ("fisher", "silhouette", "purity")}
        for scope, each in found.items()
    }


def _resampled(labels: Labels, seed: int) -> Float[NDArray[np.float64], "resamples n"]:
    """Return how often each image is drawn, in each of the bootstrap's draws; every class keeps its number."""
    rng = np.random.default_rng(seed)
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


def _estimate(values: Float[NDArray[np.float64], " draws"], least: float, most: float) -> Estimate:
    """Return the first value less its bias, and the basic interval of the others, between the bounds that it has.

    Few images push class means apart: of drawn images the Fisher ratio is larger than of all, and of all larger than of
    the class. A percentile interval would have that twice.
    """
    value, drawn = values[0], values[1:]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(*(float(np.clip(2 * value - other, least, most)) for other in (drawn.mean(), high, low)))

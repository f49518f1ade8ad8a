"""Temperature scaling: probabilities that are as sure as they should be, with the predictions left as they are."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from srat.core.checked import checked
from srat.core.errors import require
from srat.evaluation.probabilities import Probabilities, judged

LEAST, MOST = 0.01, 100.0
"""Temperatures that are looked at."""


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """A temperature, and how good the probabilities are with and without it."""

    temperature: float
    """T, which logits are divided by."""
    images: int
    """That it was fitted on."""
    before: Probabilities
    """On those images, of T = 1."""
    after: Probabilities
    """On those images, of T."""

    def __post_init__(self) -> None:
        found = self.temperature
        require(LEAST <= found <= MOST, f"temperature: expected {LEAST} to {MOST:g}, got {found}")


@checked
def fit_temperature(logits: Float[Tensor, "n classes"], labels: Int[Tensor, " n"]) -> Temperature:
    """Return the T that makes the log loss of softmax(z/T) least, each class that has an image counting alike.

    T = argmin −1/K Σ_k 1/n_k Σ_{i in k} log softmax(z_i/T)_k, by bounded search: the loss has one minimum in T.

    Args:
        logits: z, (n, classes), finite, of images that the weights did not learn from.
        labels: (n,), their classes.

    Raises:
        UserError: if there is no image, or a logit is not finite.

    Source: Guo et al., 2017, Section 4.2; the classes' weights are ours, for rare classes would otherwise not count.
    """
    require(len(logits) >= 1, "logits: expected those of at least one image, got none")
    require(bool(logits.isfinite().all()), "logits: expected finite numbers, got NaN or infinity")
    from scipy.optimize import minimize_scalar

    scores, classes = logits.double(), logits.shape[1]
    counts = torch.bincount(labels, minlength=classes)
    share = (1 / counts.double())[labels] / int((counts > 0).sum())

    def loss(log_temperature: float) -> float:
        logs = (scores / math.exp(log_temperature)).log_softmax(dim=1)
        return -float((share * logs.gather(1, labels[:, None])[:, 0]).sum())

    bounds = (math.log(LEAST), math.log(MOST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    temperature = round(min(MOST, max(LEAST, math.exp(float(found.x)))), 4)
    return Temperature(
        temperature=temperature,
        images=len(logits),
        before=judged(logits, labels),
        after=judged(logits, labels, temperature=temperature),
    )

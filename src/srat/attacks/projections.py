"""Starts, ascent steps and projections in the L∞ and the L2 ball, as pure functions of whole batches."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from srat.core.checked import checked
from srat.core.errors import UserError
from srat.core.values import Spellings
from srat.core.words import number

Images = Float[Tensor, "batch channels height width"]
Shape = Sequence[int]
Length = float | Tensor
"""A length in the units of the images, for all of them, or (batch, 1, 1, 1), for each its own."""
NormName = Annotated[
    Literal["linf", "l2"],
    Spellings({"inf": "linf", "infinity": "linf", "linfinity": "linf", "∞": "linf", "l∞": "linf", "2": "l2"}),
]
"""The ball; a number of the norm, and others' spellings of it, are understood."""


@checked
def project_linf(images: Images, center: Images, epsilon: float) -> Images:
    """Return the nearest point with ‖x − center‖∞ ≤ ε: center + clip(x − center, −ε, ε).

    Args:
        images: x, (batch, channels, height, width).
        center: of the ball, of the same shape.
        epsilon: ε, in the units of the images.

    Raises:
        UserError: if ε is negative, or beyond the images' type.
    """
    check_length("epsilon", epsilon, images)
    return _into_linf(images, center, epsilon)


@checked
def project_l2(images: Images, center: Images, epsilon: float) -> Images:
    """Return the nearest point with ‖x − center‖₂ ≤ ε: center + δ · min(1, ε/‖δ‖₂).

    Args:
        images: x, (batch, channels, height, width).
        center: of the ball, of the same shape.
        epsilon: ε, in the units of the images.

    Raises:
        UserError: if ε is negative, or beyond the images' type.
    """
    check_length("epsilon", epsilon, images)
    return _into_l2(images, center, epsilon)


@checked
def within(
    images: Images, center: Images, *, norm: NormName, epsilon: float, tolerance: float = 1e-6
) -> Bool[Tensor, " batch"]:
    """Return which images are in [0, 1] and, but for rounding, within ε of their centres; NaN is not.

    Args:
        images: (batch, channels, height, width).
        center: of the same shape.
        norm: "linf" or "l2".
        epsilon: ε, in [0, 1] pixel units.
        tolerance: for rounding, in the same units; in L2 times the length of a side of the image's space, √d.

    Raises:
        UserError: if ε or the tolerance is negative, or beyond the images' type.
    """
    check_length("epsilon", epsilon, images)
    check_length("tolerance", tolerance, images)
    delta = (images - center).flatten(1)
    length = delta.abs().amax(dim=1) if norm == "linf" else torch.linalg.vector_norm(delta, dim=1)
    slack = tolerance if norm == "linf" else tolerance * math.sqrt(delta.shape[1])
    return (length <= epsilon + slack) & ((images >= 0) & (images <= 1)).flatten(1).all(dim=1)


def check_length(name: str, length: float, images: Images) -> None:
    """Raise ``UserError`` unless a length is one that the images' type holds."""
    most = torch.finfo(images.dtype).max
    if not 0 <= length <= most:
        raise UserError(f"{name}: expected 0 to {most:.2g}, got {number(length, 0, most)}")


def _into_linf(images: Images, center: Images, epsilon: Length) -> Images:
    return center + torch.clamp(images - center, -epsilon, epsilon)  # type: ignore[arg-type]


def _into_l2(images: Images, center: Images, epsilon: Length) -> Images:
    delta = images - center
    return center + delta * (epsilon / _length(delta).clamp(min=torch.finfo(delta.dtype).tiny)).clamp(max=1)


def sign_step(images: Images, gradient: Images, step_size: Length) -> Images:
    """Return the steepest ascent in L∞: x + α · sign(g)."""
    if isinstance(step_size, Tensor):
        return images + step_size * gradient.sign()
    return images.add(gradient.sign(), alpha=step_size)


def normalized_step(images: Images, gradient: Images, step_size: Length) -> Images:
    """Return the steepest ascent in L2: x + α · g/‖g‖₂; a zero gradient moves nothing."""
    return images + step_size * gradient / _length(gradient).clamp(min=torch.finfo(gradient.dtype).tiny)


def uniform_linf(shape: Shape, epsilon: float, *, generator: torch.Generator) -> Images:
    """Return noise uniform in [−ε, ε], of a shape (batch, channels, height, width), on the generator's device."""
    noise = torch.rand(shape, generator=generator, device=generator.device)
    return epsilon * (2 * noise - 1)


def uniform_l2(shape: Shape, epsilon: float, *, generator: torch.Generator) -> Images:
    """Return noise uniform in the L2 ball: a uniform direction, a radius ε · r^(1/d), r uniform in [0, 1]."""
    direction = torch.randn(shape, generator=generator, device=generator.device)
    radius = torch.rand(shape[0], 1, 1, 1, generator=generator, device=generator.device)
    return epsilon * radius.pow(1 / math.prod(shape[1:])) * direction / _length(direction)


def _length(vectors: Images) -> Float[Tensor, "batch 1 1 1"]:
    length: Tensor = torch.linalg.vector_norm(vectors, dim=(1, 2, 3), keepdim=True)
    return length


@dataclass(frozen=True)
class Geometry:
    """How to draw a start, to step and to project in one norm."""

    noise: Callable[..., Tensor]
    step: Callable[[Tensor, Tensor, Length], Tensor]
    project: Callable[[Tensor, Tensor, Length], Tensor]


GEOMETRIES: dict[NormName, Geometry] = {
    "linf": Geometry(uniform_linf, sign_step, _into_linf),
    "l2": Geometry(uniform_l2, normalized_step, _into_l2),
}

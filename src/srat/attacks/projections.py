"""Starts, ascent steps and projections in the L∞ and the L2 ball, as pure functions of whole batches."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "batch channels height width"]
Shape = Sequence[int]
NormName = Literal["linf", "l2"]


def project_linf(images: Images, center: Images, epsilon: float) -> Images:
    """Return the nearest point with ‖x − center‖∞ ≤ ε: center + clip(x − center, −ε, ε)."""
    return center + (images - center).clamp(-epsilon, epsilon)


def project_l2(images: Images, center: Images, epsilon: float) -> Images:
    """Return the nearest point with ‖x − center‖₂ ≤ ε: center + δ · min(1, ε/‖δ‖₂)."""
    delta = images - center
    return center + delta * (epsilon / _length(delta).clamp(min=torch.finfo(delta.dtype).tiny)).clamp(max=1)


def sign_step(images: Images, gradient: Images, step_size: float) -> Images:
    """Return the steepest ascent in L∞: x + α · sign(g)."""
    return images.add(gradient.sign(), alpha=step_size)


def normalized_step(images: Images, gradient: Images, step_size: float) -> Images:
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
    step: Callable[[Tensor, Tensor, float], Tensor]
    project: Callable[[Tensor, Tensor, float], Tensor]


GEOMETRIES: dict[NormName, Geometry] = {
    "linf": Geometry(uniform_linf, sign_step, project_linf),
    "l2": Geometry(uniform_l2, normalized_step, project_l2),
}

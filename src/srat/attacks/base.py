"""What an attack is: a search for images near given ones at which a loss is large."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from srat.attacks.doubts import tell_doubts
from srat.attacks.projections import Length
from srat.core.checked import checked
from srat.core.errors import UserError, require
from srat.core.gradients import ordinary, taking_gradients
from srat.core.members import Member
from srat.core.warn import warn
from srat.data.pixels import check_attackable

Images = Float[Tensor, "batch channels height width"]
Scale = Float[Tensor, " batch"]
"""What the budget of each image is multiplied by, (batch,), 0 or more."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (batch, classes) and labels (batch,) → the loss of each example, (batch,)."""
LossAt = Callable[[Tensor], Tensor]
"""Images (batch, channels, height, width) → the loss of each, (batch,); the labels are the function's own."""

_SLACK = 1e-9
"""By which 0.7 · 10 may be above 7, for rounding."""


_ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class Adversary(Member):
    """What an attack is, ours or a reference's: settings, of which a threat model gives those that it has, too.

    Those are ``norm``, ``epsilon`` and ``step_size``, in an evaluation ``steps``, ``random_start`` and ``restarts`` as
    well. An attack with ``epsilon`` and without ``norm`` is one in L∞.
    """

    own: ClassVar[frozenset[str]] = frozenset()
    """Settings of these names that it chooses by itself, whatever a threat model says."""
    bounded: ClassVar[bool] = True
    """Whether its images stay within the budget; an attack whose images do not is for training alone."""

    @classmethod
    def settings(cls) -> frozenset[str]:
        """Return the names of the settings that may be given from outside."""
        return frozenset(field.name for field in fields(cls)) - cls.own

    @classmethod
    def of_linf_alone(cls) -> bool:
        """Return whether it has a budget, and no other ball than that of L∞."""
        return "epsilon" in cls.settings() and "norm" not in cls.settings()

    def settings_to_record(self) -> dict[str, Any]:
        """Return the settings by name; younger ones only where they say something, so that records stay comparable."""
        values = ((field, getattr(self, field.name)) for field in fields(self))
        return {field.name: value for field, value in values if field.metadata.get("neutral", _ABSENT) != value}

    @property
    def label(self) -> str:
        """The attack's name in results and tables, such as "pgd-20" or "pgd-20-l2x5", of the settings that it has."""
        steps, norm, restarts = (getattr(self, name, None) for name in ("steps", "norm", "restarts"))
        return (
            self.name
            + ("" if steps is None else f"-{steps}")
            + ("" if norm in (None, "linf") else f"-{norm}")
            + ("" if restarts in (None, 1) else f"x{restarts}")
        )


@dataclass(frozen=True, kw_only=True)
class Attack(Adversary):
    """An attack: it is given a function, not a model, and returns images within its budget."""

    @property
    def starts_beside(self) -> bool:
        """Whether it begins beside the image, so that a loss which is flat at the image has a gradient."""
        return False

    def loss(self, usual: Loss, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what the attack makes large, (batch,): the ``usual`` loss, unless it has one of its own."""
        return usual(logits, labels)

    def doubts(self, shape: Sequence[int]) -> tuple[str, ...]:
        """Return what can hardly be meant about its settings, a line each.

        Args:
            shape: of an image, (channels, height, width).
        """
        del shape
        return ()

    def shortened(self, effort: float) -> "Attack":
        """Return the attack with max(2, ⌈effort · steps⌉) of its steps; one without a number of steps is the same.

        Args:
            effort: the share of its steps, in [0, 1].
        """
        steps = getattr(self, "steps", None)
        if effort >= 1 or not isinstance(steps, int):
            return self
        fewer: dict[str, Any] = {"steps": min(steps, max(2, math.ceil(effort * steps - _SLACK)))}
        return replace(self, **fewer)

    @taking_gradients
    @checked
    def __call__(
        self, loss_at: LossAt, images: Tensor, *, generator: torch.Generator, scale: Scale | None = None
    ) -> Images:
        """Return adversarial images.

        Args:
            loss_at: images → the loss of each, (batch,), to be made large.
            images: (batch, channels, height, width), in [0, 1].
            generator: the source of all randomness, on the images' device.
            scale: (batch,), 0 or more, what ε and step size are multiplied by for each image; None for 1.

        Returns:
            Images of the same shape, in [0, 1] and within the budget.

        Raises:
            UserError: if the images are not floating point in [0, 1], the generator is on another device, the scale
                or the loss is not one number an image, or a scale is negative.

        Warns:
            UserWarning: on settings that can hardly be meant, and on a loss of NaN.
        """
        check_attackable(images)
        tell_doubts((self,), images.shape[1:], warn)
        there, here = generator.device.type, images.device.type
        require(there == here, f"generator: expected one on {here}, as the images are, got one on {there}")
        if scale is not None:
            _check_scale(scale, images)
        watched = _OfEach(loss_at)
        adversarial = self.perturb(watched, images, generator=generator, scale=scale)
        watched.tell_of_nan()
        return adversarial

    def perturb(
        self, loss_at: LossAt, images: Images, *, generator: torch.Generator, scale: Scale | None = None
    ) -> Images:
        """Do what a call does, for images known to be in [0, 1]; the checks wait for the device, this does not."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class IterativeAttack(Attack):
    """An attack that moves each image by itself, step by step: what is broken needs no further step."""

    @property
    @override
    def starts_beside(self) -> bool:
        return self.noise((1, 1, 1, 1), generator=torch.Generator()) is not None

    @property
    def iterations(self) -> int:
        """Steps from one start."""
        raise NotImplementedError

    @property
    def alpha(self) -> float | None:
        """α, the size of a step; None of an attack without the setting ``step_size``."""
        return getattr(self, "step_size", None)

    @property
    def starts(self) -> int:
        """The number of starts; for each image the worst counts."""
        return 1

    def noise(self, shape: Sequence[int], *, generator: torch.Generator) -> Images | None:
        """Return what is added to images at a start, on the generator's device; None to start at the images.

        Args:
            shape: of the images, (batch, channels, height, width).
            generator: the source of the noise.
        """
        raise NotImplementedError

    def step(self, adversarial: Images, gradient: Images, images: Images, scale: Scale | None = None) -> Images:
        """Return the next point.

        Args:
            adversarial: x_t, (batch, channels, height, width), in [0, 1].
            gradient: ∇ₓ loss(x_t), of the same shape.
            images: the untouched images, in [0, 1].
            scale: (batch,), what ε and step size are multiplied by for each image; None for 1.
        """
        raise NotImplementedError

    def perturb(
        self, loss_at: LossAt, images: Images, *, generator: torch.Generator, scale: Scale | None = None
    ) -> Images:
        """Return the last points; of several starts, for each image the one with the largest loss."""
        worst = self._from_one_start(loss_at, images, generator, scale)
        if self.starts == 1:
            return worst
        with torch.no_grad():
            worst_loss = loss_at(worst)
            for _ in range(self.starts - 1):
                candidate = self._from_one_start(loss_at, images, generator, scale)
                loss = loss_at(candidate)
                worse = loss > worst_loss
                worst = torch.where(worse[:, None, None, None], candidate, worst)
                worst_loss = torch.where(worse, loss, worst_loss)
        return worst

    def _from_one_start(
        self, loss_at: LossAt, images: Images, generator: torch.Generator, scale: Scale | None
    ) -> Images:
        noise = self.noise(images.shape, generator=generator)
        adversarial = started(images, noise if noise is None or scale is None else noise * each(scale))
        for _ in range(self.iterations):
            adversarial = self.step(adversarial, input_gradient(loss_at, adversarial), images, scale)
        return adversarial


def each(scale: Scale) -> Tensor:
    """Return a number for each image as (batch, 1, 1, 1), to multiply images with."""
    return scale[:, None, None, None]


def scaled(length: float, scale: Scale | None) -> Length:
    """Return a length, or that of each image as (batch, 1, 1, 1)."""
    return length if scale is None else length * each(scale)


def _check_scale(scale: Tensor, images: Tensor) -> None:
    there, here = scale.device.type, images.device.type
    require(len(scale) == len(images), f"scale: expected one number for each of {len(images)} images, got {len(scale)}")
    require(there == here, f"scale: expected it on {here}, as the images are, got {there}")
    require(bool((scale >= 0).all() & scale.isfinite().all()), "scale: expected finite numbers, 0 or more")


class _OfEach:
    """The same loss, refused where it is not one number an image: of several starts none could be kept.

    Args:
        loss_at: images → the loss of each, (batch,).
    """

    def __init__(self, loss_at: LossAt) -> None:
        self._loss_at = loss_at
        self._nan: Tensor | None = None
        """Of which images the loss was NaN at some time; only `tell_of_nan` waits for the device."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return the loss of each image."""
        loss = self._loss_at(images)
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        require(shape == (len(images),), f"loss_at: expected the loss of each of {len(images)} images, got {shape}")
        nan = loss.detach().isnan()
        self._nan = nan if self._nan is None else self._nan | nan
        return loss

    def tell_of_nan(self) -> None:
        """Warn if the loss was NaN, which tells an attack no direction."""
        odd = 0 if self._nan is None else int(self._nan.sum())
        if self._nan is not None and odd:
            warn(
                f"loss_at: the loss of {odd} of {len(self._nan)} images is NaN, so the attack found no direction there"
            )


@checked
def started(images: Images, noise: Images | None) -> Images:
    """Return the images with noise on them, clipped to [0, 1].

    Args:
        images: (batch, channels, height, width), in [0, 1].
        noise: of the same shape; None leaves the images as they are.
    """
    return images if noise is None else (images + noise).clamp(0, 1)


@contextmanager
def _telling_of_inference() -> Iterator[None]:
    """Refuse tensors made in ``torch.inference_mode``; torch tells of them by its message alone."""
    try:
        yield
    except RuntimeError as error:
        if "inference tensor" not in str(error).lower():
            raise
        said = "the loss has no gradient at the images: its model, or what else it uses, was made in"
        raise UserError(f"{said} torch.inference_mode; make it outside of that, or take copy.deepcopy of it") from error


@checked
def input_gradient(loss_at: LossAt, images: Images) -> Images:
    """Return ∇ₓ Σᵢ loss(xᵢ), asking for no other gradient: no parameter's ``.grad`` is touched.

    Args:
        loss_at: images → the loss of each, (batch,).
        images: (batch, channels, height, width).

    Raises:
        UserError: if the loss has no gradient at the images.
    """
    images = ordinary(images).detach().requires_grad_()
    with torch.enable_grad(), _telling_of_inference():
        total = loss_at(images).sum()
    if not total.requires_grad:
        raise UserError("the loss has no gradient at the images: the model detaches them, or runs under torch.no_grad")
    (gradient,) = torch.autograd.grad(total, images)
    return gradient

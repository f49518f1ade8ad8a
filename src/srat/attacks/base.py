"""What an attack is: a search for images near given ones at which a loss is large."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from srat.data.base import check_images
from srat.registry import Member

Images = Float[Tensor, "batch channels height width"]
LossAt = Callable[[Tensor], Tensor]
"""Images (batch, channels, height, width) → the loss of each, (batch,); the labels are the function's own."""


@dataclass(frozen=True, kw_only=True)
class Attack(Member):
    """An attack: it is given a function, not a model, and returns images within its budget."""

    @property
    def label(self) -> str:
        """The attack's name in results and tables, such as "pgd-20"."""
        return self.name

    def __call__(self, loss_at: LossAt, images: Images, *, generator: torch.Generator) -> Images:
        """Return adversarial images.

        Args:
            loss_at: images → the loss of each, (batch,), to be made large.
            images: (batch, channels, height, width), in [0, 1].
            generator: the source of all randomness, on the images' device.

        Returns:
            Images of the same shape, in [0, 1] and within the budget.

        Raises:
            UserError: if the images are not floating point in [0, 1].
        """
        check_images(images)
        return self.perturb(loss_at, images, generator=generator)

    def perturb(self, loss_at: LossAt, images: Images, *, generator: torch.Generator) -> Images:
        """Do what a call does, for images known to be in [0, 1]; the check waits for the device, this does not."""
        raise NotImplementedError


def input_gradient(loss_at: LossAt, images: Images) -> Images:
    """Return ∇ₓ Σᵢ loss(xᵢ), asking for no other gradient: no parameter's ``.grad`` is touched.

    Args:
        loss_at: images → the loss of each, (batch,).
        images: (batch, channels, height, width).
    """
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        total = loss_at(images).sum()
    (gradient,) = torch.autograd.grad(total, images)
    return gradient

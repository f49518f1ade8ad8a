"""A model as evaluations use it, and images as attacks leave them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from srat.attacks import Attack, LossAt
from srat.core.checked import checked
from srat.losses.cross_entropy_loss import entropy_of
from srat.models import lent, logits_at
from srat.models.asking import trainable
from srat.runtime.precision import tensor_float

BATCH_SIZE = 250
"""Images in a batch. AutoAttack's reference draws for a batch as a whole, so that its results depend on it."""


@checked
@contextmanager
def lent_exactly(model: nn.Module) -> Iterator[nn.Module]:
    """Lend a model to an evaluation: in eval mode, without TF32, no parameter asking for a gradient.

    Args:
        model: images in [0, 1] → logits, or an output that has them; `logits_at` asks it. All is put back at the end.
    """
    with lent(trainable(model)) as served, tensor_float(False):
        yield served


def loss_on(model: nn.Module, labels: Int[Tensor, " batch"], attack: Attack | None = None) -> LossAt:
    """Return what an attack maximises on a model's logits: its own loss, cross-entropy by default."""

    def loss_at(images: Tensor) -> Tensor:
        logits = logits_at(model, images)
        return entropy_of(logits, labels) if attack is None else attack.loss(entropy_of, logits, labels)

    return loss_at


def last_points(
    model: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    labels: Int[Tensor, " batch"],
    attack: Attack,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "batch channels height width"]:
    """Return where an attack leaves images, whatever it has broken on its way.

    Args:
        model: the model that it is made on, as lent by `lent_exactly`.
        images: in [0, 1].
        labels: their classes.
        attack: the attack.
        generator: of its randomness, on the images' device.
    """
    return attack.perturb(loss_on(model, labels, attack), images, generator=generator)

"""PGD on the margin between the logits, which no scale of theirs can hide."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from srat.attacks.base import Loss
from srat.attacks.pgd import PGD
from srat.core.checked import checked
from srat.core.gradients import ordinary
from srat.data.counts import require_labels


@checked
def margin(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Return max_{j ≠ y} z_j − z_y of each example: positive where it is wrong, and never saturated.

    Args:
        logits: z, (batch, classes), at any scale.
        labels: y, (batch,).

    Returns:
        (batch,), in the units of the logits.

    Raises:
        UserError: if a label is of no class; they are looked at on the CPU alone.

    Source: Carlini and Wagner, 2017, f₆ with its sign turned, to be maximised.
    """
    if labels.device.type == "cpu":
        require_labels(labels, logits.shape[1])
    return margin_of(logits, labels.long())


def margin_of(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Return `margin` of what is known to be right: to look at labels is to wait for them."""
    labels = ordinary(labels)
    others = logits.scatter(1, labels[:, None], -torch.inf).max(dim=1).values
    return others - logits.gather(1, labels[:, None]).squeeze(1)


@dataclass(frozen=True, kw_only=True)
class PGDMargin(PGD, name="pgd-margin"):
    """Projected gradient descent on the margin (Carlini and Wagner's loss) instead of cross-entropy."""

    @override
    def loss(self, usual: Loss, logits: Tensor, labels: Tensor) -> Tensor:
        del usual
        return margin_of(logits, labels)

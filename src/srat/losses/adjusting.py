"""The cross-entropy of adjusted logits, which is what most losses for imbalanced data are.

The attack maximises plain cross-entropy on the logits that are served, unless ``inner.loss`` says otherwise. It does
matter here: m_y and class weights change the length of the gradient alone, while b and Δ weigh the wrong classes anew
and so turn it.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from srat.core.errors import require_field
from srat.losses.base import Labels, Logits, PerExample
from srat.losses.cross_entropy_loss import entropy_of

PerClass = Float[Tensor, " classes"]


def adjusted_entropy(
    logits: Logits,
    labels: Labels,
    *,
    divisors: PerClass | None = None,
    offsets: PerClass | None = None,
    margins: PerClass | None = None,
    smoothing: float = 0.0,
) -> PerExample:
    """Return the cross-entropy of z_j / Δ_j + b_j − m_j · [j = y] for each example, in fp32 at the least.

    What is served is z: the adjustment belongs to the loss alone.

    Args:
        logits: z, (batch, classes), at the served scale; they are left as they are.
        labels: y, (batch,), integers in [0, classes).
        divisors: Δ, (classes,); None for 1.
        offsets: b, (classes,); None for 0.
        margins: m, (classes,), in units of logits; None for 0.
        smoothing: s, of `cross_entropy`.
    """
    z = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if divisors is not None:
        z = z / divisors.to(z)
    if offsets is not None:
        z = z + offsets.to(z)
    if margins is not None:
        z = z - own_class(labels, z.shape[1]) * margins.to(z)
    return entropy_of(z, labels, smoothing)


def own_class(labels: Labels, classes: int) -> Bool[Tensor, "batch classes"]:
    """Return where an example's own class is. Not F.one_hot, which looks at the labels, and so waits for them."""
    return labels[:, None] == torch.arange(classes, device=labels.device)


def check_tau(tau: float, where: str) -> None:
    """Raise ``UserError`` unless τ is one; ``where`` says whose."""
    require_field(0 <= tau <= 100, where, "0 to 100", tau, 0, 100)

"""How far apart two predictions are: the term that robust losses put beside the prediction loss."""

import torch

from srat.core.checked import checked
from srat.core.errors import require_amount
from srat.losses.base import Logits, PerExample


@checked
def kl_divergence(reference: Logits, logits: Logits) -> PerExample:
    """Return KL(p ‖ q) = Σ_j p_j (log p_j − log q_j) of each example, p = softmax(reference), q = softmax(z).

    It is computed in fp32 at least. To sum it over the classes, and to leave the examples to the objective, is what
    PyTorch calls "batchmean", once the objective has taken its mean.

    Args:
        reference: logits of p, (batch, classes); their gradient is kept.
        logits: z, (batch, classes).

    Returns:
        (batch,), in nats, 0 or more.
    """
    log_p, log_q = in_full(reference).log_softmax(dim=1), in_full(logits).log_softmax(dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)


def in_full(logits: Logits) -> Logits:
    """Return logits in fp32 at least: logarithms of half-precision probabilities lose what is small."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def check_beta(beta: float) -> None:
    """Raise ``UserError`` unless β is the weight of a divergence."""
    require_amount(beta, "robust_loss.beta")

"""MART."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from srat.core.checked import checked
from srat.losses.base import Labels, Logits, PerExample, checked_labels
from srat.robust_losses.base import References
from srat.robust_losses.divergence import in_full, kl_divergence
from srat.robust_losses.diverging import DivergingLoss

_ABOVE_ONE, _ABOVE_ZERO = 1.0001, 1e-12
"""What the authors take for 1 and add to 0, so that the logarithm of 1 − p is finite where p is 1."""
_ABOVE_CERTAIN = 1.0000001


@checked
def wrong_class_loss(logits: Logits, labels: Labels) -> PerExample:
    """Return −log(1.0001 − max_{j≠y} p_j + 10⁻¹²) of each example, p = softmax(z), in fp32 at least.

    Together with the cross-entropy it is MART's boosted cross-entropy.

    Args:
        logits: z, (batch, classes), of adversarial images.
        labels: y, (batch,), integers in [0, classes).

    Returns:
        (batch,), in nats, above −0.0002.

    Raises:
        UserError: if the labels do not go with the logits; their values are looked at on the CPU alone.

    Source: Wang et al., 2020, Eq. 8.
    """
    return _wrong_class_loss(logits, checked_labels(logits, labels))


@checked
def uncertain_divergence(clean: Logits, logits: Logits, labels: Labels) -> PerExample:
    """Return KL(p(x) ‖ p(x')) · (1.0000001 − p_y(x)) of each example, in fp32 at least.

    Args:
        clean: logits of p(x), (batch, classes), of images without the attack; their gradient is kept.
        logits: of p(x'), (batch, classes), of adversarial images.
        labels: y, (batch,), integers in [0, classes).

    Returns:
        (batch,), in nats, 0 or more.

    Raises:
        UserError: as `wrong_class_loss`.

    Source: Wang et al., 2020, Eq. 10.
    """
    return _uncertain_divergence(clean, logits, checked_labels(clean, labels))


def _wrong_class_loss(logits: Logits, labels: Labels) -> PerExample:
    wrong = in_full(logits).softmax(dim=1).scatter(1, labels[:, None], 0).amax(dim=1)
    return -(_ABOVE_ONE - wrong + _ABOVE_ZERO).log()


def _uncertain_divergence(clean: Logits, logits: Logits, labels: Labels) -> PerExample:
    own: Float[Tensor, " batch"] = in_full(clean).softmax(dim=1).gather(1, labels[:, None])[:, 0]
    return kl_divergence(clean, logits) * (_ABOVE_CERTAIN - own)


@dataclass(frozen=True, kw_only=True)
class MART(DivergingLoss, name="mart"):
    """MART (Wang et al., 2020): ℓ(z(x'), y) − log(1 − max_{j≠y} p_j(x')) + β · KL(p(x) ‖ p(x')) · (1 − p_y(x)).

    ℓ is the prediction loss, which the attack makes large, too. Class weights multiply all terms.
    """

    beta: float = 5.0
    """β, the weight of the divergence (5 for ResNet-18, 6 for wide ones)."""

    @override
    def outer(self, logits: Logits, references: References) -> PerExample:
        labels = references.labels
        boosted = references.prediction(logits) + _wrong_class_loss(logits, labels)
        return boosted + self.beta * _uncertain_divergence(self.compared(references), logits, labels)

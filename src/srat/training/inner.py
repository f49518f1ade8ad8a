"""Line 5 of Algorithm 1: what the training attack makes large, and what its first look tells."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from srat.attacks import LossAt
from srat.data import Batch
from srat.losses.base import Labels, Logits
from srat.losses.cross_entropy_loss import entropy_of
from srat.models import logits_at
from srat.models.asking import rows_at
from srat.robust_losses import References
from srat.runtime.precision import rescale_gradient
from srat.training.session import Training
from srat.training.stage import Stage


class FirstLook:
    """What is right where an attack begins, of which its first look at the model tells at no cost.

    Args:
        labels: (own,), the classes of this process's images.
    """

    def __init__(self, labels: Int[Tensor, " own"]) -> None:
        self._labels = labels
        self.right: Bool[Tensor, " own"] | None = None

    def __call__(self, logits: Logits) -> None:
        """Take in a look; the first one counts."""
        if self.right is None:  # at once: what a compiled model returns may lie where its next answer will
            self.right = logits.detach().argmax(dim=1) == self._labels


def inner_loss(
    training: Training,
    stage: Stage,
    served: nn.Module,
    batch: Batch,
    taught: Logits | None = None,
    seen: Callable[[Logits], None] = lambda _: None,
) -> LossAt:
    """Return what the training attack maximises; the model computes in the run's precision, the loss in fp32.

    Class weights, being positive, would move no step of it. In exact arithmetic it does not matter either which of
    cross-entropy, focal and LDAM it is: of a softmax they are falling functions of p_y alone, so that their gradients
    differ in length only. In float32 they part where p_y rounds to 1, and of mixed images anywhere.

    With ``inner.feature_weight`` an attack that has a loss of its own has the feature loss beside that.

    Args:
        training: model and configuration.
        stage: where in the run the step is.
        served: the model as it is lent to the attack.
        batch: this process's images, without the attack, and all labels.
        taught: a teacher's logits of its images, if there is one.
        seen: told the logits of every look at the images under attack.
    """
    config, autocast = training.config, training.fabric.autocast
    targets, weight = batch.own_targets, config.inner.feature_weight

    def asked(images: Tensor) -> Tensor:
        with autocast():
            rows = rows_at(served, images) if weight else logits_at(served, images)
        return rescale_gradient(rows) if config.precision == "fp16" else rows

    def prediction(logits: Logits, labels: Labels) -> Tensor:
        if config.inner.loss == "training":
            return config.loss(logits, labels, stage.class_counts)
        return entropy_of(logits, labels)

    clean = None
    if config.robust_loss.attack_sees_clean:
        with torch.no_grad():
            clean = asked(batch.images)[:, : len(stage.class_counts)]

    def usual(logits: Logits, labels: Labels) -> Tensor:
        compared = References(labels, lambda z: prediction(z, labels), clean, taught)
        return config.robust_loss.inner(logits, compared)

    def joint(x: Tensor) -> Tensor:
        logits, embedding = asked(x).tensor_split([len(stage.class_counts)], dim=1)
        seen(logits)
        beside = feature_values(training, stage, embedding, batch)
        return config.attack.loss(usual, logits, batch.labels[batch.own]) + weight * beside

    def alone(x: Tensor) -> Tensor:
        logits = asked(x)
        seen(logits)
        return targets.mean(lambda labels: config.attack.loss(usual, logits, labels))

    return joint if weight else alone


def feature_values(
    training: Training, stage: Stage, embedding: Float[Tensor, "own dimensions"], batch: Batch
) -> Float[Tensor, " own"]:
    """Return the feature loss of this process's images as anchors, among all that the batch has under attack.

    Its sum has the gradient, with respect to these images, of the sum over the batch: an image is in the losses of
    other anchors, too, and those may be another process's. Processes meet here, as often as their attacks ask.

    Args:
        training: the feature loss, and its memory as it is after the steps before.
        stage: where in the run the step is.
        embedding: of this process's images under attack.
        batch: all labels.
    """
    rows = training.processes.gather(embedding, len(batch.labels))
    term = training.config.feature_loss(rows, batch.labels, training.memory, stage.class_counts)
    assert term is not None
    own = term.values[batch.own]
    if training.processes.count == 1:
        return own
    elsewhere = term.values.sum() - own.sum()
    return own + (elsewhere - elsewhere.detach()) / len(own)

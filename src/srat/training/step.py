"""Lines 4 to 7 of Algorithm 1 (13 to 16 once the weights apply): the attack, the objective, the update."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from srat.attacks import LossAt
from srat.data import Batch
from srat.losses.cross_entropy_loss import entropy_of
from srat.models import Output, logits_at
from srat.runs.metrics import batch_sums
from srat.runtime.precision import rescale_gradient
from srat.training.session import Training

Rng = Callable[[str], torch.Generator]


def train_step(
    training: Training, batch: Batch, weights: Float[Tensor, " classes"], rng: Rng
) -> Float[Tensor, " sums"]:
    """Do one step of Algorithm 1 (Lines 4 to 7, 13 to 16) and return its ``Sums``.

    Args:
        training: model, optimiser, objective.
        batch: the examples.
        weights: (classes,), w of each class; ones before the weights apply.
        rng: a purpose → the generator for it in this step.
    """
    config, labels = training.config, batch.labels
    with training.lent() as served:
        loss_at = inner_loss(training, served, labels[batch.own])
        adversarial = config.attack.perturb(loss_at, batch.images, generator=rng("attack"))
    logits, embedding = gathered(training, training.model(adversarial), len(labels))
    losses = config.loss(logits, labels, training.class_counts)
    value = config.objective(losses, weights[labels], config.feature_loss(embedding, labels))
    # The gradient is the sum over the processes, of which Fabric takes the mean.
    training.fabric.backward(value.total * training.processes.count)
    sums = batch_sums(value, logits, labels, training.under[labels], training.gradient_norm())
    training.optimizer.step()
    training.optimizer.zero_grad()
    training.average_statistics()
    return sums


def gathered(training: Training, output: Output, n: int) -> tuple[Float[Tensor, "batch _"], Float[Tensor, "batch _"]]:
    """Return logits and embedding of the whole batch of ``n``, so that objective and metrics are those of the batch.

    They are fp32, whatever the model computes in.
    """
    logits, embedding = output.logits.float(), output.embedding.float()
    if training.processes.count == 1:
        return logits, embedding
    width = logits.shape[1]
    rows = training.processes.gather(torch.cat((logits, embedding), dim=1), n)
    return rows[:, :width], rows[:, width:]


def inner_loss(training: Training, served: nn.Module, labels: Int[Tensor, " own"]) -> LossAt:
    """Return what the training attack maximises; the model computes in the run's precision, the loss in fp32.

    Class weights, being positive, would move no step of it. In exact arithmetic it does not matter either which of
    cross-entropy, focal and LDAM it is: of a softmax they are falling functions of p_y alone, so that their gradients
    differ in length only. In float32 they part where p_y rounds to 1.
    """
    config, autocast = training.config, training.fabric.autocast

    def asked(images: Tensor) -> Tensor:
        with autocast():
            logits = logits_at(served, images)
        return rescale_gradient(logits) if config.precision == "fp16" else logits

    def usual(logits: Tensor, labels: Tensor) -> Tensor:
        if config.inner.loss == "training":
            return config.loss(logits, labels, training.class_counts)
        return entropy_of(logits, labels)

    return lambda x: config.attack.loss(usual, asked(x), labels)

"""Lines 4 to 7 of Algorithm 1 (13 to 16 once the weights apply): the attack, the objective, the update."""

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from srat.data import Batch
from srat.losses.base import Labels, Logits
from srat.methods.objective import Value
from srat.models import Classifier, Output
from srat.robust_losses import References
from srat.runs.metrics import batch_sums
from srat.training.inner import FirstLook, inner_loss
from srat.training.session import Training
from srat.training.stage import Stage

Rng = Callable[[str], torch.Generator]


def train_step(training: Training, batch: Batch, stage: Stage, rng: Rng) -> Float[Tensor, " sums"]:
    """Do one step of Algorithm 1 (Lines 4 to 7, 13 to 16) and return its ``Sums``.

    Args:
        training: model, optimiser, configuration.
        batch: the examples.
        stage: where in the run the step is, and what holds there.
        rng: a purpose → the generator for it in this step.
    """
    config, targets, own = training.config, batch.targets, batch.own_targets

    # Line 5: the inner maximisation.
    taught = training.taught(batch.images)
    with training.lent() as served:
        first = FirstLook(own.main)
        loss_at = inner_loss(training, stage, served, batch, taught, first)
        adversarial = stage.attack.perturb(loss_at, batch.images, generator=rng("attack"), scale=stage.scale_of(own))

    def minimised() -> tuple[Value, Output]:  # Line 6: Eq. 7.
        output = gathered(training, training.model(adversarial), len(batch.labels))
        compared = references(training, stage, batch, taught)
        losses = targets.mean(lambda labels: config.robust_loss.outer(output.logits, compared(labels)))
        term = config.feature_loss(output.embedding, batch.labels, training.memory, stage.class_counts)
        return config.objective(losses, stage.weights_of(targets), term, regularization(training)), output

    def ascend() -> None:
        training.backward(minimised()[0].total)

    with config.weight_perturbation.perturbed(training.module, ascend, epoch=stage.epoch, epochs=config.epochs):
        value, output = minimised()
        training.backward(value.total)
    training.unscale()
    under = targets.mean(training.under.__getitem__)
    sums = batch_sums(value, output.logits, targets, under, training.gradient_norm())

    # Line 7: the update.
    training.optimizer.step()
    training.optimizer.zero_grad()
    training.settle(stage, output, targets.main)
    training.observe(first.right, output, targets.main)
    return sums


def gathered(training: Training, output: Output, n: int) -> Output:
    """Return what the model says of the whole batch of ``n``, so that objective and metrics are those of the batch.

    It is in fp32, whatever the model computes in.
    """
    logits, features, embedding = (tensor.float() for tensor in output)
    if training.processes.count == 1:
        return Output(logits, features, embedding)
    width = logits.shape[1]
    rows = training.processes.gather(torch.cat((logits, embedding), dim=1), n)
    return Output(rows[:, :width], features, rows[:, width:])


def regularization(training: Training) -> Float[Tensor, ""] | None:
    """Return what the regulariser says of the weights, with this process's share of the gradient."""
    value = training.config.regularizer(cast(Classifier, training.module))
    return None if value is None else training.processes.shared(value)


def references(training: Training, stage: Stage, batch: Batch, taught: Logits | None) -> Callable[[Labels], References]:
    """Return, as a function of labels, what the robust loss compares the logits of adversarial images with.

    Args:
        training: model and configuration.
        stage: where in the run the step is.
        batch: the images without the attack.
        taught: a teacher's logits of this process's, if there is one.
    """
    config, n = training.config, len(batch.labels)
    clean = None
    if config.robust_loss.sees_clean:
        clean = gathered(training, training.model(batch.images), n).logits
    teacher = None if taught is None else training.processes.gather(taught, n)
    weights, learning = stage.weights_of(batch.targets), training.feedback.get("robust_loss")

    def compared(labels: Labels) -> References:
        return References(
            labels,
            lambda logits: config.loss(logits, labels, stage.class_counts),
            clean=clean,
            teacher=teacher,
            weights=weights,
            factors=None if learning is None else learning.factors[labels],
        )

    return compared

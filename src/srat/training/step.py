"""Lines 4 to 7 of Algorithm 1 (13 to 16 once the weights apply): the attack, the objective, the update."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from srat.attacks import LossAt
from srat.data import Batch
from srat.losses.cross_entropy_loss import entropy_of
from srat.methods.objective import Value
from srat.models import Output, logits_at
from srat.robust_losses import References
from srat.runs.metrics import batch_sums
from srat.runtime.precision import rescale_gradient
from srat.training.session import Training
from srat.training.stage import Stage

Rng = Callable[[str], torch.Generator]
Logits = Float[Tensor, "batch classes"]


def train_step(training: Training, batch: Batch, stage: Stage, rng: Rng) -> Float[Tensor, " sums"]:
    """Do one step of Algorithm 1 (Lines 4 to 7, 13 to 16) and return its ``Sums``.

    Args:
        training: model, optimiser, configuration.
        batch: the examples.
        stage: where in the run the step is, and what holds there.
        rng: a purpose → the generator for it in this step.
    """
    config, labels, own = training.config, batch.labels, batch.labels[batch.own]

    # Line 5: the inner maximisation.
    taught = training.taught(batch.images)
    with training.lent() as served:
        first = FirstLook(own)
        loss_at = inner_loss(training, stage, served, batch.images, own, taught, first)
        adversarial = stage.attack.perturb(loss_at, batch.images, generator=rng("attack"), scale=stage.scale_of(own))

    def minimised() -> tuple[Value, Output]:  # Line 6: Eq. 7.
        output = gathered(training, training.model(adversarial), len(labels))
        losses = config.robust_loss.outer(output.logits, references(training, stage, batch, taught))
        term = config.feature_loss(output.embedding, labels, training.memory)
        return config.objective(losses, stage.weights_of(labels), term), output

    def ascend() -> None:
        training.backward(minimised()[0].total)

    with config.weight_perturbation.perturbed(training.module, ascend, epoch=stage.epoch, epochs=config.epochs):
        value, output = minimised()
        training.backward(value.total)
    training.unscale()
    sums = batch_sums(value, output.logits, labels, training.under[labels], training.gradient_norm())

    # Line 7: the update.
    training.optimizer.step()
    training.optimizer.zero_grad()
    training.settle(stage, output, labels)
    training.observe(first.right, output, labels)
    return sums


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


def references(training: Training, stage: Stage, batch: Batch, taught: Logits | None) -> References:
    """Return what the robust loss compares the logits of adversarial images with.

    Args:
        training: model and configuration.
        stage: where in the run the step is.
        batch: the images without the attack.
        taught: a teacher's logits of this process's, if there is one.
    """
    config, labels = training.config, batch.labels
    clean = None
    if config.robust_loss.sees_clean:
        clean = gathered(training, training.model(batch.images), len(labels)).logits
    teacher = None if taught is None else training.processes.gather(taught, len(labels))
    return References(labels, lambda logits: config.loss(logits, labels, stage.class_counts), clean, teacher)


def inner_loss(
    training: Training,
    stage: Stage,
    served: nn.Module,
    images: Tensor,
    labels: Int[Tensor, " own"],
    taught: Logits | None = None,
    seen: Callable[[Logits], None] = lambda _: None,
) -> LossAt:
    """Return what the training attack maximises; the model computes in the run's precision, the loss in fp32.

    Class weights, being positive, would move no step of it. In exact arithmetic it does not matter either which of
    cross-entropy, focal and LDAM it is: of a softmax they are falling functions of p_y alone, so that their gradients
    differ in length only. In float32 they part where p_y rounds to 1.

    Args:
        training: model and configuration.
        stage: where in the run the step is.
        served: the model as it is lent to the attack.
        images: this process's, without the attack.
        labels: theirs.
        taught: a teacher's logits of them, if there is one.
        seen: told the logits of every look at the model.
    """
    config, autocast = training.config, training.fabric.autocast

    def asked(images: Tensor) -> Tensor:
        with autocast():
            logits = logits_at(served, images)
        seen(logits)
        return rescale_gradient(logits) if config.precision == "fp16" else logits

    def prediction(logits: Logits) -> Tensor:
        if config.inner.loss == "training":
            return config.loss(logits, labels, stage.class_counts)
        return entropy_of(logits, labels)

    clean = None
    if config.robust_loss.attack_sees_clean:
        with torch.no_grad():
            clean = asked(images)
    compared = References(labels, prediction, clean, taught)

    def usual(logits: Logits, _: Tensor) -> Tensor:
        return config.robust_loss.inner(logits, compared)

    return lambda x: config.attack.loss(usual, asked(x), labels)

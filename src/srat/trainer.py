"""Algorithm 1: adversarial training with deferred weights and a feature loss."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn

from srat.attacks import LossAt, Natural
from srat.checkpoint import State, load_checkpoint, save_checkpoint
from srat.config import Config
from srat.data import Dataset, epoch_batches, prepare, to_unit
from srat.devices import make_fabric
from srat.errors import require
from srat.evaluation import Groups, count, groups
from srat.feature_losses import NoFeatureLoss
from srat.losses import cross_entropy
from srat.metrics import Row, Sums, batch_sums, held_out_row, training_row
from srat.models import Classifier, Output, attacked, channel_statistics, logits_of
from srat.models.wrapper import Custom
from srat.observer import Observer
from srat.random import derive_seed, generator
from srat.run import ModelFacts, Run, RunFolder, build_model, image_shape
from srat.weightings import Uniform

Rng = Callable[[str], torch.Generator]


@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """What stays the same while a run goes on, on its device."""

    config: Config
    fabric: Fabric
    model: nn.Module
    """The model as Fabric wraps it; ``module`` is ours."""
    optimizer: torch.optim.Optimizer
    train: Dataset
    held_out: Dataset | None
    groups: Groups
    class_counts: Int[Tensor, " classes"]
    class_weights: Float[Tensor, " classes"]
    under: Bool[Tensor, " classes"]
    """Which classes are under-represented."""

    @property
    def module(self) -> nn.Module:
        """The model itself, which the attack sees."""
        return cast(nn.Module, self.model.module)


def fit(
    config: Config,
    *,
    out: Path | str | None = None,
    device: str = "auto",
    resume: bool = False,
    model: nn.Module | None = None,
    observer: Observer | None = None,
) -> Run:
    """Train a model as ``config`` says; the test data is never loaded.

    Args:
        config: the run.
        out: folder for configuration, metrics, checkpoints and weights; None writes nothing.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".
        resume: go on with the unfinished run in ``out``.
        model: a model of the user's own (see ``srat.models.wrap``) in place of the configuration's.
        observer: told of progress.

    Raises:
        UserError: on data that cannot be read, a folder that holds another run, a device that is not there, or a loss
            that stops being a number.
    """
    if model is not None:
        config = replace(config, model=Custom(description=type(model).__name__))
    folder = RunFolder(Path(out)) if out is not None else None
    require(folder is not None or not resume, "--resume needs --out, the folder of the run to go on with")
    fabric = make_fabric(device)
    if folder is not None:
        folder.check(config, resume=resume)
    data = prepare(config.data, config.imbalance, config.holdout, seed=config.seed)
    training = set_up(config, fabric, data.train, data.held_out, model)
    state = State()
    if folder is not None:
        folder.start(config, data)
        state = load_checkpoint(folder.checkpoints, training.module, training.optimizer)
    with torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []):
        run_epochs(training, state, folder, observer or Observer())
    if folder is not None:
        write_results(training, state, folder)
    return Run(
        config=config,
        folder=folder.path if folder is not None else None,
        model=training.module.eval(),
        best_epoch=state.best_epoch,
        history=state.history,
    )


def run_epochs(training: Training, state: State, folder: RunFolder | None, observer: Observer) -> None:
    """Train the epochs that are left, and keep the state after each."""
    config = training.config
    steps = math.ceil(len(training.train) / config.batch_size)
    observer.training(epochs=config.epochs, done=state.epoch, steps=steps)
    for epoch in range(state.epoch, config.epochs):
        row = train_epoch(training, epoch, observer) | validate(training)
        check_finite(row["loss"], epoch, training.module)
        update(state, row, training.module)
        if folder is not None:
            save_checkpoint(folder.checkpoints, state, training.module, training.optimizer)
            folder.write_metrics(state.history)
        observer.epoch(row)
    observer.finished()


def train_epoch(training: Training, epoch: int, observer: Observer) -> Row:
    """Train one epoch and return its metrics: Lines 3 to 8 of Algorithm 1, or 12 to 17 once the weights apply."""
    config, device = training.config, training.fabric.device
    rate = config.schedule.learning_rate(epoch, epochs=config.epochs, base=config.optimizer.learning_rate)
    set_learning_rate(training.optimizer, rate)
    deferred = not config.schedule.weights_apply(epoch, epochs=config.epochs)
    weights = torch.ones_like(training.class_weights) if deferred else training.class_weights
    order = generator(config.seed, "order", epoch=epoch)
    batches = epoch_batches(len(training.train), config.batch_size, generator=order, device=device)
    sums = torch.zeros(len(Sums._fields), dtype=torch.float64, device=device)
    training.model.train()
    for step, indices in enumerate(batches):
        rng = partial(generator, config.seed, epoch=epoch, step=step, device=device)
        # What the model itself draws, as Dropout does, comes from the global generator.
        torch.manual_seed(derive_seed(config.seed, "model", epoch=epoch, step=step))
        sums += train_step(training, indices, weights, rng)
        observer.step()
    # Here alone an epoch waits for the device.
    means = training_row(Sums(*sums.tolist()), has_feature_loss=not isinstance(config.feature_loss, NoFeatureLoss))
    weighted = not (deferred or isinstance(config.weighting, Uniform))
    return {"epoch": epoch, "learning_rate": rate, "weights_apply": int(weighted), **means}


def train_step(
    training: Training, indices: Int[Tensor, " batch"], weights: Float[Tensor, " classes"], rng: Rng
) -> Float[Tensor, " sums"]:
    """Do one step of Algorithm 1 (Lines 4 to 7, 13 to 16) and return its ``Sums``.

    Args:
        training: model, data, optimiser.
        indices: (batch,), the examples.
        weights: (classes,), w of each class; ones before the weights apply.
        rng: a purpose → the generator for it in this step.
    """
    config = training.config
    labels = training.train.labels[indices]
    images = config.augmentation(to_unit(training.train.images[indices]), generator=rng("augment"))
    with attacked(training.module, config.inner.batch_norm) as served:
        adversarial = config.attack.perturb(inner_loss(training, served, labels), images, generator=rng("attack"))
    output: Output = training.model(adversarial)
    losses = config.loss(output.logits, labels, training.class_counts)
    value = config.objective(losses, weights[labels], config.feature_loss(output.embedding, labels))
    training.fabric.backward(value.total)
    training.optimizer.step()
    training.optimizer.zero_grad()
    return batch_sums(value, output.logits.argmax(dim=1) == labels, training.under[labels])


def inner_loss(training: Training, served: nn.Module, labels: Int[Tensor, " batch"]) -> LossAt:
    """Return what the training attack maximises.

    Class weights, being positive, would move no step of it. In exact arithmetic it does not matter either which of
    cross-entropy, focal and LDAM it is: of a softmax they are falling functions of p_y alone, so that their gradients
    differ in length only. In float32 they part where p_y rounds to 1.
    """
    config = training.config
    if config.inner.loss == "training":
        return lambda x: config.loss(logits_of(served(x)), labels, training.class_counts)
    return lambda x: cross_entropy(logits_of(served(x)), labels)


def check_finite(loss: float, epoch: int, module: nn.Module) -> None:
    """Raise ``UserError`` if training has diverged: the loss, or a weight after the last step, is not a number."""
    help_ = "a lower --optimizer.learning-rate may help"
    require(math.isfinite(loss), f"the loss became {loss} in epoch {epoch + 1}; {help_}")
    finite = torch.stack([parameter.isfinite().all() for parameter in module.parameters()]).all()
    require(bool(finite), f"weights became infinite or NaN in epoch {epoch + 1}; {help_}")


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def validate(training: Training) -> Row:
    """Return accuracies on the held-out part, clean and under the training attack; empty without such a part."""
    config, held_out = training.config, training.held_out
    if held_out is None:
        return {}
    clean = count(training.module, held_out, Natural(), seed=config.seed)
    natural = isinstance(config.attack, Natural)
    robust = clean if natural else count(training.module, held_out, config.attack, seed=config.seed)
    return held_out_row(clean, robust, training.groups)


def update(state: State, row: Row, module: nn.Module) -> None:
    """Put an epoch into the state; its weights too, if its classes' mean accuracy under attack is the best so far."""
    state.history.append(row)
    state.epoch = row["epoch"] + 1
    if row.get("held_out_robust", -1.0) > state.best_score:
        state.best_score, state.best_epoch = row["held_out_robust"], row["epoch"]
        state.best_weights = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def set_up(
    config: Config, fabric: Fabric, train: Dataset, held_out: Dataset | None, model: nn.Module | None
) -> Training:
    """Return model, optimiser and data on the device."""
    if model is None:
        mean, std = channel_statistics(train.images)
        model = build_model(config, shape=image_shape(train), classes=len(train.class_names), mean=mean, std=std)
    else:
        check_fit(model, train)
    sgd = config.optimizer
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=sgd.learning_rate,
        momentum=sgd.momentum,
        weight_decay=sgd.weight_decay,
        nesterov=sgd.nesterov,
    )
    wrapped, wrapped_optimizer = fabric.setup(model, optimizer)
    rare = groups(train.counts)
    return Training(
        config=config,
        fabric=fabric,
        model=wrapped,
        optimizer=wrapped_optimizer,
        train=train.to(fabric.device),
        held_out=held_out.to(fabric.device) if held_out is not None else None,
        groups=rare,
        class_counts=torch.tensor(train.counts, device=fabric.device),
        class_weights=config.weighting.weights(train.counts).to(fabric.device),
        under=torch.tensor([c in rare.under for c in range(len(train.counts))], device=fabric.device),
    )


def check_fit(model: nn.Module, train: Dataset) -> None:
    """Raise ``UserError`` unless the user's model takes these images and gives a logit for each class."""
    require(isinstance(model, Classifier), f"model: expected srat.models.wrap(…) around a {type(model).__name__}")
    with torch.no_grad(), attacked(model) as served:
        device = next(model.parameters()).device
        logits = served(to_unit(train.images[:1]).to(device)).logits
    classes = len(train.class_names)
    require(logits.shape[1] == classes, f"model: expected {classes} logits, one for each class, got {logits.shape[1]}")


def write_results(training: Training, state: State, folder: RunFolder) -> None:
    """Write the weights of the last and of the best epoch."""
    facts = ModelFacts(
        class_names=training.train.class_names,
        train_counts=training.train.counts,
        shape=image_shape(training.train),
        epoch=state.epoch - 1,
    )
    if state.best_epoch is not None:
        folder.write_weights("best", state.best_weights, replace(facts, epoch=state.best_epoch))
    # Metrics once more: the last checkpoint may have been the last thing that an interrupted run wrote.
    folder.write_metrics(state.history)
    folder.write_weights("last", training.module.state_dict(), facts)

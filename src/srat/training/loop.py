"""Algorithm 1: adversarial training with deferred weights and a feature loss."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from srat.attacks import Natural
from srat.core.errors import UserError
from srat.core.keyed_random import derive_seed, generator
from srat.evaluation.evaluate import count
from srat.evaluation.observer import Observer
from srat.feature_losses import NoFeatureLoss
from srat.runs.metrics import Row, Sums, accumulate, held_out_row, no_sums, training_row
from srat.runtime.machine import is_out_of_memory, telling_of_memory
from srat.runtime.precision import tensor_float
from srat.training.checkpoint import State
from srat.training.keeper import DivergenceError, Unkept, check_finite
from srat.training.memory_estimate import largest_batch
from srat.training.session import Training
from srat.training.step import train_step
from srat.weightings import Uniform


def run_epochs(training: Training, keeper: Unkept, observer: Observer) -> State:
    """Train the epochs that are left, and return the state at the end."""
    config, device = training.config, training.fabric.device
    steps = math.ceil(len(training.train) / config.batch_size)
    state = keeper.restore()
    observer.training(epochs=config.epochs, steps=steps, done=state.epoch * steps + state.step)
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        tensor_float(config.precision == "tf32"),
    ):
        while state.epoch < config.epochs:
            try:
                with keeper.saving_when_interrupted(state):
                    train_epoch(training, state, keeper, observer)
            except DivergenceError as error:
                state = keeper.roll_back(error, rate_factor=state.rate_factor)
                observer.training(epochs=config.epochs, steps=steps, done=state.epoch * steps + state.step)
            else:
                keeper.after_epoch(state)
                observer.epoch(state.history[-1])
    observer.finished()
    return state


def train_epoch(training: Training, state: State, keeper: Unkept, observer: Observer) -> None:
    """Train what is left of an epoch: Lines 3 to 8 of Algorithm 1, or 12 to 17 once the weights apply."""
    config, device, rank, epoch = training.config, training.fabric.device, training.processes.rank, state.epoch
    rate = config.schedule.learning_rate(epoch, epochs=config.epochs, base=config.optimizer.learning_rate)
    set_learning_rate(training.optimizer, rate * state.rate_factor)
    deferred = not config.schedule.weights_apply(epoch, epochs=config.epochs)
    weights = torch.ones_like(training.class_weights) if deferred else training.class_weights
    state.sums = state.sums.to(device)
    training.model.train()
    for step, batch in enumerate(training.feed.epoch(epoch, state.step), start=state.step):
        rng = partial(generator, config.seed, epoch=epoch, step=step, rank=rank, device=device)
        # What the model itself draws, as Dropout does, comes from the global generator.
        torch.manual_seed(derive_seed(config.seed, "model", epoch=epoch, step=step, rank=rank))
        with telling_what_fits(training):
            sums = train_step(training, batch, weights, rng)
        state.sums = accumulate(state.sums, sums, step=step)
        state.step = step + 1
        observer.step()
        keeper.between_steps(state)
    check_finite(state, training.module)
    means = training_row(
        Sums(*state.sums.tolist()), has_feature_loss=not isinstance(config.feature_loss, NoFeatureLoss)
    )
    weighted = not (deferred or isinstance(config.weighting, Uniform))
    row = {"epoch": epoch, "learning_rate": rate * state.rate_factor, "weights_apply": int(weighted), **means}
    finish_epoch(state, row | validate(training, keeper, observer), training.module)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def validate(training: Training, keeper: Unkept, observer: Observer) -> Row:
    """Return accuracies on the held-out part, clean and under the training attack; empty without such a part."""
    config, held_out = training.config, training.held_out
    if held_out is None:
        return {}
    evaluated = partial(
        count, training.plain, held_out, seed=config.seed, processes=training.processes, observer=_Between(keeper)
    )
    with telling_of_memory(f"the evaluation of the held-out part does not fit on {training.fabric.device}"):
        clean = evaluated(Natural())
        robust = clean if isinstance(config.attack, Natural) else evaluated(config.attack)
    observer.held_out(clean, robust)
    return held_out_row(clean, robust, training.groups)


class _Between(Observer):
    """Tells the keeper of each batch, so that a signal need not wait for the end of the held-out part."""

    def __init__(self, keeper: Unkept) -> None:
        self._keeper = keeper

    def images_done(self, count: int) -> None:
        """Pass it on."""
        del count
        self._keeper.between_batches()


def finish_epoch(state: State, row: Row, module: nn.Module) -> None:
    """Put an epoch into the state; its weights too, if its classes' mean accuracy under attack is the best so far."""
    state.history.append(row)
    state.epoch, state.step, state.sums = state.epoch + 1, 0, no_sums()
    if row.get("held_out_robust", -1.0) > state.best_score:
        state.best_score, state.best_epoch = row["held_out_robust"], row["epoch"]
        state.best_weights = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


@contextmanager
def telling_what_fits(training: Training) -> Iterator[None]:
    """Turn running out of memory into a ``UserError`` with the batch size that fits."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        wanted = training.config.batch_size
        told = f"out of memory on {training.fabric.device} with --batch-size {wanted}"
        if training.processes.count > 1:  # only this one may have run out: the others take part in no trial
            raise UserError(f"{told} in {training.processes.count} processes") from error
        rng = partial(generator, training.config.seed, device=training.fabric.device)
        fitting = largest_batch(training, rng, error)
        advice = f"--batch-size {fitting} fits" if fitting else "not even a batch of one fits"
        raise UserError(f"{told}; {advice}") from error

"""Algorithm 1: adversarial training with deferred weights and a feature loss."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import nn
from typing_extensions import override

from srat.attacks import PGD, Natural
from srat.attacks.budgets import UniformBudget
from srat.config.config import Config
from srat.core.errors import UserError
from srat.core.keyed_random import derive_seed, generator, kept_streams, seed_streams
from srat.data import Dataset
from srat.evaluation.counts import Counts
from srat.evaluation.evaluate import count
from srat.evaluation.observer import Observer
from srat.feature_losses import NoFeatureLoss
from srat.feedback import HeldOut
from srat.runs.metrics import Row, Sums, accumulate, budget_row, held_out_row, no_sums, training_row
from srat.runs.troubles import arisen
from srat.runtime.machine import is_out_of_memory, telling_of_memory
from srat.runtime.precision import tensor_float
from srat.training.averages import finish_average
from srat.training.checkpoint import State
from srat.training.guarding import end_guarded, probe
from srat.training.keeper import DivergenceError, Keeper, check_finite
from srat.training.memory_estimate import largest_batch
from srat.training.session import Training
from srat.training.setting_up import FACTOR
from srat.training.step import train_step
from srat.weightings import Uniform

MOST_SELECTING_STEPS = 10
"""Of the attack under which the best epoch is chosen."""


def run_epochs(training: Training, keeper: Keeper, observer: Observer) -> State:
    """Train the epochs that are left, and return the state at the end."""
    config, steps = training.config, training.feed.steps
    state = keeper.restore()
    forget_other_selection(state, config, observer)
    observer.training(epochs=config.epochs, steps=steps, done=state.epoch * steps + state.step)
    with kept_streams(), tensor_float(config.precision == "tf32"):
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


def train_epoch(training: Training, state: State, keeper: Keeper, observer: Observer) -> None:
    """Train what is left of an epoch: Lines 3 to 8 of Algorithm 1, or 12 to 17 once the weights apply."""
    config, device, rank, epoch = training.config, training.fabric.device, training.processes.rank, state.epoch
    staged = training.at(epoch)
    first = staged.stage(epoch)
    state.sums = state.sums.to(device)
    training.model.train()
    for step, batch in enumerate(training.feed.epoch(epoch, state.step), start=state.step):
        stage = first._replace(step=first.step + step)
        set_learning_rate(training.optimizer, training.learning_rate(stage.step) * state.rate_factor)
        rng = partial(generator, config.seed, epoch=epoch, step=step, rank=rank, device=device)
        # What the model itself draws, as Dropout does, comes from the global generator.
        seed_streams(derive_seed(config.seed, "model", epoch=epoch, step=step, rank=rank), device)
        with telling_what_fits(training), staged.held():
            sums = train_step(staged, batch, stage, rng)
        state.sums = accumulate(state.sums, sums, step=step)
        state.step = step + 1
        observer.step()
        keeper.between_steps(state)
    check_finite(state, training.module)
    means = training_row(
        Sums(*state.sums.tolist()), has_feature_loss=not isinstance(staged.config.feature_loss, NoFeatureLoss)
    )
    deferred = not config.schedule.weights_apply(epoch, epochs=config.epochs)
    weighted = not (deferred or isinstance(config.weighting, Uniform))
    rate = training.learning_rate(first.step + training.feed.steps - 1) * state.rate_factor
    row = {"epoch": epoch, "learning_rate": rate, "weights_apply": int(weighted), **means}
    finish_average(staged, first, partial(worst_class, training, keeper))
    probed = probe(staged, first, partial(count_raw, training, keeper))
    held_out, silent = validate(training, epoch, keeper, observer)
    guarded = end_guarded(staged, first, probed, observer.notice)
    if training.ends is not None and config.averaging.statistics != "averaged":
        row["batch_norm_moved"] = training.ends.moved.item()
    if config.budget != UniformBudget():
        row |= budget_row(first.scales, training.train.counts)
    finish_epoch(state, row | held_out | guarded, training.kept, label_of_selection(config))
    for trouble in arisen(config, state.history, silent=silent):
        observer.notice(f"after epoch {state.epoch}: {trouble.text}")


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters: of a group with a factor, that much of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(FACTOR, 1.0)


def validate(training: Training, epoch: int, keeper: Keeper, observer: Observer) -> tuple[Row, list[str]]:
    """Return accuracies on the held-out part, clean and under attack, and the classes of which no image is right.

    Both are empty without such a part.
    What learns of the classes hears of them, at the end of the epoch: here nothing stops any more.
    """
    config, held_out = training.config, training.held_out
    if held_out is None:
        training.close(epoch, None)
        return {}, []
    evaluated = partial(count_held_out, training, held_out, training.kept, keeper)
    clean = evaluated(Natural())
    attack = selecting_attack(config)
    robust = clean if attack is None else evaluated(attack)
    observer.held_out(clean, robust)
    per_class = (torch.tensor(each, dtype=torch.float64) for each in (robust.total, clean.correct, robust.correct))
    training.close(epoch, HeldOut(*(each.to(training.fabric.device) for each in per_class)))
    row = held_out_row(clean, robust, training.groups, training.train.counts)
    return row, [held_out.class_names[c] for c in clean.silent]


def count_held_out(
    training: Training, held_out: Dataset, model: nn.Module, keeper: Keeper, attack: PGD | Natural
) -> Counts:
    """Return what a model gets right of the held-out part."""
    with telling_of_memory(f"the evaluation of the held-out part does not fit on {training.fabric.device}"):
        return count(
            model,
            held_out,
            attack,
            seed=training.config.seed,
            processes=training.processes,
            observer=_Between(keeper),
        )


def count_raw(training: Training, keeper: Keeper, images: Dataset) -> Counts:
    """Return what the weights themselves, not averaged, get right under the attack that chooses the best epoch."""
    attack = selecting_attack(training.config) or Natural()
    return count_held_out(training, images, copy.copy(training.module), keeper, attack)


def worst_class(training: Training, keeper: Keeper) -> float:
    """Return the accuracy under attack of the class of the held-out part that the weights themselves are worst at."""
    if training.held_out is None:
        return 0.0
    counts = count_raw(training, keeper, training.held_out)
    return counts.worst().accuracy.accuracy


def selecting_attack(config: Config) -> PGD | None:
    """Return what the best epoch is chosen under: the evaluation's attack, of ten steps and one start at the most.

    It is not the training attack: one of a single step finds a model robust that has overfitted to it. Natural
    training chooses by clean accuracy: None.
    """
    if isinstance(config.attack, Natural):
        return None
    return replace(config.evaluation, steps=min(config.evaluation.steps, MOST_SELECTING_STEPS), restarts=1)


class _Between(Observer):
    """Tells the keeper of each batch, so that a signal need not wait for the end of the held-out part."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    @override
    def images_done(self, count: int) -> None:
        del count
        self._keeper.between_batches()


def label_of_selection(config: Config) -> str:
    """Return the name of the attack under which the best epoch is chosen."""
    attack = selecting_attack(config)
    return Natural().label if attack is None else attack.label


def forget_other_selection(state: State, config: Config, observer: Observer) -> None:
    """Forget the best epoch so far if version 0.1 chose it under a training attack that is not the one of today."""
    old = state.best_epoch is not None and not state.selected_under
    if old and selecting_attack(config) not in (None, config.attack):
        state.best_epoch, state.best_score, state.best_weights = None, -1.0, {}
        under = f"{config.attack.label}, the epochs from here on under {label_of_selection(config)}"
        observer.notice(f"the best epoch so far was chosen under {under}: it is chosen anew")


def finish_epoch(state: State, row: Row, kept: nn.Module, selected_under: str) -> None:
    """Put an epoch into the state; its weights too, if its classes' mean accuracy under attack is the best so far.

    That of an epoch which the guard has undone is of weights that are gone. A run that an earlier version began keeps
    the metrics that it began with.
    """
    known = state.history[0] if state.history else row
    state.history.append({name: value for name, value in row.items() if name in known})
    state.epoch, state.step, state.sums = state.epoch + 1, 0, no_sums()
    if row.get("held_out_robust", -1.0) > state.best_score and not row.get("guard_rolled_back"):
        state.best_score, state.best_epoch = row["held_out_robust"], row["epoch"]
        state.selected_under = selected_under
        state.best_weights = {name: tensor.detach().clone() for name, tensor in kept.state_dict().items()}


@contextmanager
def telling_what_fits(training: Training) -> Iterator[None]:
    """Turn running out of memory into a ``UserError`` with the batch size that fits."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        wanted = training.config.batch_size
        told = f"out of memory on {training.fabric.device} with `batch_size` {wanted}"
        if training.processes.count > 1:  # only this one may have run out: the others take part in no trial
            raise UserError(f"{told} in {training.processes.count} processes") from error
        rng = partial(generator, training.config.seed, device=training.fabric.device)
        fitting = largest_batch(training, rng, error)
        advice = f"`batch_size` {fitting} fits" if fitting else "not even a batch of one fits"
        raise UserError(f"{told}; {advice}") from error

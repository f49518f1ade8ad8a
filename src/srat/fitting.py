"""From a configuration to a trained model in a folder."""

import math
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from srat.attacks import tell_doubts
from srat.cadence import Cadence, Every
from srat.checked import checked
from srat.checkpoint import State
from srat.config import Config
from srat.data import Parts, Record, prepare
from srat.data.constant import constant_notes
from srat.devices import describe, make_fabric
from srat.errors import require
from srat.gradients import taking_gradients
from srat.interruption import deferring_signals
from srat.machine import telling_of_memory
from srat.memory import check_memory
from srat.models.wrapper import Custom
from srat.observer import Observer
from srat.options import CompileChoice, OnDivergence
from srat.processes import Processes, join
from srat.run import ModelFacts, Run, image_shape, load_with_facts, read_facts
from srat.run_folder import RunFolder
from srat.safekeeping import Keeper, Unkept
from srat.trainer import run_epochs, train_step
from srat.training import Training, set_up


@taking_gradients
@checked
def fit(
    config: Config,
    *,
    out: Path | str | None = None,
    device: str | torch.device = "auto",
    model: nn.Module | None = None,
    observer: Observer | None = None,
    checkpoint_every: str | int = "auto",
    on_divergence: OnDivergence = "stop",
    compiled: CompileChoice = "auto",
    record: Record | None = None,
) -> Run:
    """Train a model as ``config`` says, or go on where the run in ``out`` stopped; the test data is never loaded.

    A run that was stopped at any moment and goes on ends in the same bytes as one that never stopped. Of one that has
    ended, nothing is changed. With ``out``, SIGTERM, SIGUSR1 and Ctrl-C let the step in flight end, and save. In a
    script that torchrun has started, each process has its share of every batch; the first one writes.

    Args:
        config: the run.
        out: folder for configuration, metrics, checkpoints and weights; None writes nothing.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.
        model: a model of the user's own (see ``srat.models.wrap``) in place of the configuration's.
        observer: told of progress.
        checkpoint_every: "auto" (as often as costs a hundredth of the time), "200" steps, or "10m" minutes.
        on_divergence: "stop", or "rollback": back to the last checkpoint, with half the learning rate.
        compiled: "off", a mode of ``torch.compile``, or "auto": compiled on CUDA, not on the CPU.
        record: which images to take of data that can change, as another run recorded them; a run in ``out`` goes on
            with its own.

    Raises:
        UserError: on data that cannot be read, a folder that holds another run or is in use, a device that is not
            there or has too little memory, or a loss that stops being a number.
        Interrupted: when a signal has ended the run, and its state is saved.
    """
    if model is not None:
        config = replace(config, model=Custom.of(model))
    observer = observer or Observer()
    every = Every.parse(str(checkpoint_every))
    require(out is not None or on_divergence == "stop", "--on-divergence rollback needs --out, a folder of checkpoints")
    fabric = make_fabric(device, config.precision)
    processes = join()
    folder = RunFolder(Path(out)) if out is not None else None
    look = partial(ended_run, folder, config, model, device=str(fabric.device), processes=processes)
    if ended := look():
        return ended
    with telling_of_memory(f"the images and the model do not fit on {fabric.device}"):
        going_on = folder is not None and folder.exists
        parts = config.data.parts(folder.record if folder is not None and going_on else record)
        if going_on:
            require_whole(parts)
        data = prepare(parts, config.imbalance, config.holdout, seed=config.seed)
        training = set_up(
            config,
            fabric,
            data.train,
            data.held_out,
            model,
            processes=processes,
            compiled=compiled,
            notice=observer.notice,
        )
    for note in (*parts.notes, *validation_note(config, parts), *constant_notes(training.train)):
        observer.notice(note)
    tell_doubts((config,), data.train.images.shape[1:], observer.notice)
    check_memory(training, train_step, notice=observer.notice)
    if folder is None:
        unkept = Unkept()
        state = run_epochs(training, unkept, observer)
        unkept.tick(state)
        return as_run(training, state, None)
    with deferring_signals() as interruption, folder.locked() if processes.first else nullcontext():
        processes.wait()
        # Once more: what was so without the lock may have changed.
        if ended := look():
            return ended
        if processes.first:
            with folder.writing():
                folder.start(config, data, parts.record)
                note_environment(folder, training, observer)
        keeper = Keeper(
            training,
            folder=folder,
            cadence=Cadence(every),
            on_divergence=on_divergence,
            interruption=interruption,
            observer=observer,
        )
        state = run_epochs(training, keeper, observer)
        keeper.tick(state)
        if processes.first:
            with folder.writing():
                write_results(training, state, folder)
        processes.wait()
        interruption.check()
    return as_run(training, state, folder.path)


def require_whole(parts: Parts) -> None:
    """Raise ``UserError`` if images are gone, or changed, that a run has begun with."""
    lost = [name for part in ("train", "validation") for name in parts.missing.get(part, ())]
    named = ", ".join(lost[:5]) + (", …" if len(lost) > 5 else "")
    require(
        not lost, f"the data has changed since this run began; gone or changed ({len(lost):,}): {named}; put them back"
    )


def validation_note(config: Config, parts: Parts) -> list[str]:
    """Return what is to be said of a validation part of the source's own."""
    if "validation" not in parts.there:
        return []
    if not config.holdout.fraction:
        return ["the validation part of the data is not used (--holdout.fraction 0)"]
    return ["the validation part of the data is held out, to choose the best epoch"]


def as_run(training: Training, state: State, folder: Path | None) -> Run:
    """Return what training gives back."""
    return Run(
        config=training.config,
        folder=folder,
        model=training.plain.eval(),
        best_epoch=state.best_epoch,
        history=state.history,
        seconds=state.seconds,
    )


def note_environment(folder: RunFolder, training: Training, observer: Observer) -> None:
    """Write on what a run begins, and tell of it if it goes on with something else: sums may round otherwise there."""
    now = describe(training.fabric.device, training.processes.count, compiled=training.compiled)
    then = folder.read_environment()
    changed = [f"{name} {then[name]}, now {now[name]}" for name in now if name in then and then[name] != now[name]]
    if changed:
        observer.notice(f"this run began with {'; '.join(changed)}: it will not be equal to the bit to one that stayed")
    folder.write_environment(now | then)


def ended_run(
    folder: RunFolder | None, config: Config, model: nn.Module | None, *, device: str, processes: Processes
) -> Run | None:
    """Return the run in a folder if its training has ended; no process writes there before all have looked.

    Raises:
        UserError: if the folder holds another run, or something that is none, or not the same for all processes.
    """
    if folder is None:
        return None
    folder.check(config)
    processes.require_alike(f"the processes do not see the same folder '{folder.path}'", int(folder.trained))
    if not folder.trained:
        return None
    trained, _ = load_with_facts(folder.path, model=model, device=device)
    best = read_facts(folder.weights("best")).epoch if folder.weights("best").exists() else None
    history, seconds = folder.read_metrics(), folder.read_environment().get("training_seconds")
    require(
        len(history) == config.epochs,
        f"{folder.metrics}: expected {config.epochs} epochs, got {len(history)}; remove {folder.weights('last').name} "
        f"beside it, and {folder.how_to_go_on} from the last checkpoint, and writes both anew",
    )
    return Run(
        config=config,
        folder=folder.path,
        model=trained,
        best_epoch=best,
        history=history,
        seconds=float(seconds) if isinstance(seconds, int | float) else math.nan,
    )


def write_results(training: Training, state: State, folder: RunFolder) -> None:
    """Write metrics, environment, and the weights of the best and, as the sign that all is done, of the last epoch."""
    facts = ModelFacts(
        config=training.config,
        class_names=training.train.class_names,
        train_counts=training.train.counts,
        shape=image_shape(training.train),
        epoch=state.epoch - 1,
    )
    folder.write_metrics(state.history)
    folder.write_environment(
        {
            **folder.read_environment(),
            "training_seconds": round(state.seconds, 1),
            "learning_rate_factor": state.rate_factor,
        }
    )
    if state.best_epoch is not None:
        best = replace(facts, epoch=state.best_epoch)
        folder.write_weights("best", state.best_weights, best.to_json(state.best_weights))
    last = training.module.state_dict()
    folder.write_weights("last", last, facts.to_json(last))

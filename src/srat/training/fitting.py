"""From a configuration to a trained model in a folder."""

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from srat.config.checks import check
from srat.config.config import Config
from srat.core.cadence import Cadence, Every
from srat.core.checked import checked
from srat.core.errors import require
from srat.core.gradients import taking_gradients
from srat.core.plugins import digests
from srat.core.signals import deferring_signals
from srat.core.words import counted, few
from srat.data import Parts, TrainingData, prepare
from srat.data.twins import shared_notes
from srat.evaluation.observer import Observer
from srat.models.wrapping.wrapper import Custom
from srat.runs.folder import RunFolder
from srat.runs.plugins import plugins_gone
from srat.runs.run import ModelFacts, Run, image_shape, load_with_facts, read_facts
from srat.runtime.compiling import CompileChoice
from srat.runtime.fabric import describe, make_fabric
from srat.runtime.machine import telling_of_memory
from srat.runtime.processes import Processes, join
from srat.training.checkpoint import State, list_checkpoints
from srat.training.keeper import FolderKeeper, NullKeeper
from srat.training.loop import run_epochs
from srat.training.memory_estimate import check_memory
from srat.training.notes import notes_before
from srat.training.options import OnDivergence
from srat.training.session import Training
from srat.training.setting_up import set_up


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
    parts: Parts | None = None,
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
        parts: what ``config.data.parts(…)`` returned, with the record of the run in ``out`` if it goes on; by default
            the data is looked at here.

    Raises:
        UserError: on data that cannot be read, a folder that holds another run or is in use, a device that is not
            there or has too little memory, or a loss that is not a number.
        Interrupted: when a signal has ended the run, and its state is saved.
    """
    check(config)
    require(out is not None or on_divergence == "stop", "`on_divergence` rollback needs `out`, a folder of checkpoints")
    task = Task(
        config=config if model is None else replace(config, model=Custom.of(model)),
        every=Every.parse(str(checkpoint_every)),
        fabric=make_fabric(device, config.precision),
        processes=join(),
        folder=None if out is None else RunFolder(Path(out)),
        model=model,
        observer=observer or Observer(),
        on_divergence=on_divergence,
        compiled=compiled,
    )
    return ended_run(task) or train(task, parts)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A training that is asked for."""

    config: Config
    every: Every
    """How often to save a checkpoint."""
    fabric: Fabric
    processes: Processes
    folder: RunFolder | None
    """None writes nothing."""
    model: nn.Module | None
    """The user's own, or None to build the configuration's."""
    observer: Observer
    on_divergence: OnDivergence
    compiled: CompileChoice

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.fabric.device

    @property
    def begins(self) -> bool:
        """Whether there is no checkpoint to go on from."""
        return self.folder is None or not list_checkpoints(self.folder.checkpoints)


def train(task: Task, parts: Parts | None) -> Run:
    """Do what is left of a training."""
    for member in task.config.missing.values():
        raise member.error
    with telling_of_memory(f"the images and the model do not fit on {task.device}"):
        parts = looked_at(task, parts)
        data = prepare(parts, task.config.imbalance, task.config.holdout, seed=task.config.seed)
        training = set_up_for(task, data)
    task.observer.ready()
    for note in notes_before(task.config, parts, training.train, data, task.device):
        task.observer.notice(note)
    check_memory(training, notice=task.observer.notice)
    if task.folder is None:
        return train_unkept(training, task.observer)
    return train_kept(task, task.folder, training, data, parts)


def looked_at(task: Task, parts: Parts | None) -> Parts:
    """Return the parts of the data; those that a run has begun with, if there is one to go on with.

    Raises:
        UserError: if images of that run are gone, or changed.
    """
    record = None if task.folder is None else task.folder.record
    parts = task.config.data.parts(record) if parts is None else parts
    if task.folder is not None and task.folder.exists:
        require_whole(parts)
    return parts


def set_up_for(task: Task, data: TrainingData) -> Training:
    """Return model, optimiser and data on the device."""
    return set_up(
        task.config,
        task.fabric,
        data.train,
        data.held_out,
        task.model,
        processes=task.processes,
        compiled=task.compiled,
        begins=task.begins,
        notice=task.observer.notice,
    )


def train_unkept(training: Training, observer: Observer) -> Run:
    """Train, and write nothing."""
    keeper = NullKeeper()
    state = run_epochs(training, keeper, observer)
    keeper.tick(state)
    return as_run(training, state, None)


def train_kept(task: Task, folder: RunFolder, training: Training, data: TrainingData, parts: Parts) -> Run:
    """Train, and keep in a folder what it takes to go on, and at the end the weights."""
    with deferring_signals() as interruption, folder.locked() if task.processes.first else nullcontext():
        task.processes.wait()
        # Once more: what was so without the lock may have changed.
        if ended := ended_run(task):
            return ended
        if task.processes.first:
            begin(task, folder, training, data, parts)
        keeper = FolderKeeper(
            training,
            folder=folder,
            cadence=Cadence(task.every),
            on_divergence=task.on_divergence,
            interruption=interruption,
            observer=task.observer,
        )
        state = run_epochs(training, keeper, task.observer)
        keeper.tick(state)
        if task.processes.first:
            with folder.writing():
                write_results(training, state, folder)
        task.processes.wait()
        interruption.check()
    return as_run(training, state, folder.path)


def begin(task: Task, folder: RunFolder, training: Training, data: TrainingData, parts: Parts) -> None:
    """Write what is known before the training."""
    with folder.writing():
        folder.start(task.config, data, parts.record)
        note_environment(folder, training, task.observer)
    if (record := folder.record) is not None:
        for note in shared_notes(record):
            task.observer.notice(note)


def require_whole(parts: Parts) -> None:
    """Raise ``UserError`` if images are gone, or changed, that a run has begun with."""
    lost = [name for part in ("train", "validation") for name in parts.missing.get(part, ())]
    said = counted(len(lost), "image is gone or changed", "images are gone or changed")
    require(not lost, f"the data has changed since this run began: {said} ({few(lost)}); put them back")


def as_run(training: Training, state: State, folder: Path | None) -> Run:
    """Return what training gives back."""
    return Run(
        config=training.config,
        folder=folder,
        model=training.kept.eval(),
        best_epoch=state.best_epoch,
        history=state.history,
        seconds=state.seconds,
    )


def note_environment(folder: RunFolder, training: Training, observer: Observer) -> None:
    """Write on what a run begins, and tell of it if it goes on with something else: sums may round otherwise there."""
    now = describe(training.fabric.device, training.processes.count, compiled=training.compiled)
    then = folder.read_environment()
    for path in plugins_gone(folder):
        observer.notice(f"this run began with the plugin '{path}'; now its members come from elsewhere")
    changed = [f"{name} {then[name]}, now {now[name]}" for name in now if name in then and then[name] != now[name]]
    if changed:
        observer.notice(
            f"this run began with {'; '.join(changed)}: its numbers may differ a little from those of an unchanged run"
        )
    folder.write_environment(now | ({"plugins": dict(named)} if (named := digests()) else {}) | then)


def ended_run(task: Task) -> Run | None:
    """Return the run in a task's folder if its training has ended; no process writes there before all have looked.

    Raises:
        UserError: if the folder holds another run, or something that is none, or not the same for all processes.
    """
    folder = task.folder
    if folder is None:
        return None
    folder.check(task.config)
    task.processes.require_alike(f"the processes do not see the same folder '{folder.path}'", int(folder.trained))
    return read_run(task, folder) if folder.trained else None


def read_run(task: Task, folder: RunFolder) -> Run:
    """Return the trained run in a folder.

    Raises:
        UserError: if its weights or metrics are not whole.
    """
    model, _ = load_with_facts(folder.path, model=task.model, device=task.device)
    best = read_facts(folder.weights("best")).epoch if folder.weights("best").exists() else None
    history, seconds = folder.read_metrics(), folder.read_environment().get("training_seconds")
    require(
        len(history) == task.config.epochs,
        f"{folder.metrics}: expected {task.config.epochs} epochs, got {len(history)}; remove "
        f"{folder.weights('last').name} beside it, and {folder.how_to_go_on} from the last checkpoint and writes both "
        "again",
    )
    return Run(
        config=task.config,
        folder=folder.path,
        model=model,
        best_epoch=best,
        history=history,
        seconds=float(seconds) if isinstance(seconds, int | float) else math.nan,
    )


def write_results(training: Training, state: State, folder: RunFolder) -> None:
    """Write metrics, environment, and the weights: those of the last epoch last, as the sign that all is done."""
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
    if "average" in training.parts:
        raw = training.module.state_dict()
        folder.write_weights("raw", raw, facts.to_json(raw))
    last = training.kept.state_dict()
    folder.write_weights("last", last, facts.to_json(last))

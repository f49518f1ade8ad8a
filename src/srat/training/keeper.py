"""What lets a run survive: checkpoints in time, signals obeyed between two steps, divergence noticed and undone."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from typing_extensions import override

from srat.core.cadence import Cadence
from srat.core.errors import UserError
from srat.core.signals import Interrupted, Interruption
from srat.evaluation.observer import Observer
from srat.models.classifier import BatchNorm
from srat.runs.folder import RunFolder
from srat.runs.metrics import Sums
from srat.training.checkpoint import Moving, State, list_checkpoints, load_checkpoint, save_checkpoint
from srat.training.options import OnDivergence
from srat.training.session import Training

LEAST_RATE_FACTOR = 2.0**-10


class DivergenceError(UserError):
    """The loss, its gradient or a weight is no longer a number."""


@runtime_checkable
class Keeper(Protocol):
    """What keeps a run while it goes on, and is asked between its steps."""

    def restore(self) -> State:
        """Return the state to go on from, model and optimiser being what they were then."""

    def between_steps(self, state: State) -> None:
        """Take note of a step."""

    def between_batches(self) -> None:
        """Take note of a batch of the held-out part."""

    def after_epoch(self, state: State) -> None:
        """Take note of an epoch."""

    def saving_when_interrupted(self, state: State) -> AbstractContextManager[None]:
        """Return a context that saves the state when a signal ends what is done within."""

    def roll_back(self, error: DivergenceError, *, rate_factor: float) -> State:
        """Return the state to go back to after a divergence, or raise the error.

        Args:
            error: what has happened.
            rate_factor: what the learning rates were multiplied by then.
        """

    def tick(self, state: State) -> None:
        """Put the time since the last tick into the state."""


class Stopwatch:
    """Counts the time that a run takes."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def tick(self, state: State) -> None:
        """Put the time since the last tick into the state."""
        now = time.monotonic()
        state.seconds += now - self._since
        self._since = now


class NullKeeper(Stopwatch, Keeper):
    """Keeps nothing: a run that diverges, or is interrupted, is over."""

    @override
    def restore(self) -> State:
        return State()

    @override
    def between_steps(self, state: State) -> None:
        pass

    @override
    def between_batches(self) -> None:
        pass

    @override
    def after_epoch(self, state: State) -> None:
        pass

    @override
    def saving_when_interrupted(self, state: State) -> AbstractContextManager[None]:
        return nullcontext()

    @override
    def roll_back(self, error: DivergenceError, *, rate_factor: float) -> State:
        raise error


class FolderKeeper(Stopwatch, Keeper):
    """Keeps the state of a run in its folder.

    Args:
        training: model and optimiser.
        folder: the run's folder.
        cadence: how often to save.
        on_divergence: whether to stop, or to go back to the last checkpoint with half the learning rate.
        interruption: the signals that have come.
        observer: told of damaged checkpoints and of roll-backs.
    """

    def __init__(
        self,
        training: Training,
        *,
        folder: RunFolder,
        cadence: Cadence,
        on_divergence: OnDivergence,
        interruption: Interruption,
        observer: Observer,
    ) -> None:
        # What a training starts from brings its own mean and deviation.
        chosen = not training.config.init.sha256
        self._moving = Moving(
            training.module, training.optimizer, training.parts, training.config.optimizer, normalizes=chosen
        )
        self._run = training.config.id
        self._processes, self._precision = training.processes, training.fabric.strategy.precision
        self._folder = folder
        self._cadence = cadence
        self._on_divergence = on_divergence
        self._interruption = interruption
        self._observer = observer
        super().__init__()
        self._tried: str | None = None

    @override
    def restore(self) -> State:
        """Put the newest checkpoint into model and optimiser, and return its state; a new one where there is none.

        Raises:
            UserError: if no checkpoint can be used, or none can be written.
        """
        state = self._load()
        if state is None:
            state = State()
            if self._folder.metrics.exists():
                self._observer.notice(f"there is no checkpoint in '{self._folder.checkpoints}': starting anew")
            # At once, so that there is always something to go back to, and a disk that is full is found out early.
            self.save(state)
            self._processes.wait()
            self._processes.require_alike(self._unshared, len(list_checkpoints(self._folder.checkpoints)))
        if state.rate_factor < 1:
            self._observer.notice(f"the learning rate is {state.rate_factor:g} of the schedule's, since a roll-back")
        return state

    @override
    def between_steps(self, state: State) -> None:
        """Save if it is time; of several processes, all do the same at the same step.

        Raises:
            Interrupted: if a signal has come.
            DivergenceError: if a checkpoint was due, and the state is not fit to be kept.
        """
        is_time = self._processes.first and self._cadence.step()
        due, signal = self._processes.largest(int(is_time), self._interruption.received)
        if due:
            self.save(state)
        if signal:
            raise Interrupted(signal)

    @override
    def between_batches(self) -> None:
        """Raise ``Interrupted`` if a signal has come; several processes wait for the next step, to stop together."""
        if self._processes.count == 1:
            self._interruption.check()

    @override
    def after_epoch(self, state: State) -> None:
        """Write the metrics of the epochs so far."""
        if self._processes.first:
            with self._folder.writing():
                self._folder.write_metrics(state.history)

    def save(self, state: State) -> None:
        """Write a checkpoint, unless the run has diverged; here, and at an epoch's end, the device is waited for.

        Raises:
            DivergenceError: if it has.
            UserError: if the checkpoint cannot be written, as on a full disk.
        """
        start = time.monotonic()
        self.tick(state)
        check_finite(state, self._moving.model)
        if not self._processes.first:
            return
        state.scaler = self._precision.state_dict()
        with self._folder.writing():
            save_checkpoint(self._folder.checkpoints, state, self._moving, run=self._run)
        self._cadence.saved(cost=time.monotonic() - start)

    @override
    @contextmanager
    def saving_when_interrupted(self, state: State) -> Iterator[None]:
        """Save the state when a signal ends what is done within, and say how to go on."""
        try:
            yield
        except Interrupted as stop:
            self.save(state)
            # Of several processes as many have to go on, for the same bytes.
            how = self._folder.how_to_go_on if self._processes.count == 1 else "the same command continues"
            advice = f"{state.position} is saved; {how} from there"
            raise Interrupted(stop.signal, advice) from None

    @override
    def roll_back(self, error: DivergenceError, *, rate_factor: float) -> State:
        """Return the state of the last checkpoint, with half the learning rate; of the one before if that was tried.

        Args:
            error: what has happened.
            rate_factor: what the learning rates were multiplied by then.

        Raises:
            DivergenceError: if the run is to stop at divergence, or there is nothing left to try.
        """
        if self._on_divergence == "stop":
            advice = "a lower `optimizer.learning_rate` may help, or `on_divergence` rollback goes on with half of it"
            raise DivergenceError(f"{error}; the last good checkpoint is kept: {advice}")
        self._processes.wait()
        files = list_checkpoints(self._folder.checkpoints)
        # One that was gone back to before, and has no successor, has had its chance, if there is another.
        spent = files[-1] if len(files) > 1 and files[-1].name == self._tried else None
        try:
            state = self._load(but=spent)
        except UserError:  # the one before is damaged
            state, spent = self._load(), None
        if state is None or rate_factor <= LEAST_RATE_FACTOR:
            advice = "the checkpoints are kept; start anew with a lower `optimizer.learning_rate`"
            raise DivergenceError(f"{error}; with {rate_factor:.2g} of the learning rate it still does: {advice}")
        state.rate_factor = rate_factor / 2
        self.save(state)
        if spent is not None and self._processes.first:
            spent.unlink()
        self._processes.wait()
        self._tried = list_checkpoints(self._folder.checkpoints)[-1].name
        self._observer.notice(f"{error}; back to {state.position}, with {state.rate_factor:g} of the learning rate")
        return state

    def _load(self, *, but: Path | None = None) -> State | None:
        """Return what the newest checkpoint says, for all processes; the first one looks before the others do."""
        load = partial(
            load_checkpoint,
            self._folder.checkpoints,
            self._moving,
            run=self._run,
            notice=self._observer.notice,
            but=but,
        )
        state, error = None, ""
        if self._processes.first:  # which puts damaged ones aside
            try:
                state = load()
            except UserError as found:
                error = str(found)
        if error := self._processes.told(error):
            raise UserError(error)
        if not self._processes.first:
            state = load()
        self._processes.require_alike(self._unshared, *((-1, -1) if state is None else (state.epoch, state.step)))
        if state is not None:
            self._precision.load_state_dict(state.scaler)
        return state

    @property
    def _unshared(self) -> str:
        return f"the processes found different checkpoints in '{self._folder.checkpoints}': they must share the folder"


def check_finite(state: State, module: torch.nn.Module) -> None:
    """Raise ``DivergenceError`` if the loss, its gradient or a weight has become infinite or NaN."""
    sums = Sums(*state.sums.tolist())
    logit = f"(largest logit until then: {sums.largest_logit:.3g})"
    where = f"became infinite or NaN in epoch {state.epoch + 1},"
    if sums.steps < state.step:
        raise DivergenceError(f"the loss or its gradient {where} step {int(sums.steps) + 1} {logit}")
    # Other buffers may be infinite for good reason, such as masks.
    statistics = [buffer for norm in module.modules() if isinstance(norm, BatchNorm) for buffer in norm.buffers()]
    finite = torch.stack([tensor.isfinite().all() for tensor in (*module.parameters(), *statistics)]).all()
    if not finite:
        raise DivergenceError(f"a weight, or a statistic of BatchNorm, {where} by step {state.step} {logit}")

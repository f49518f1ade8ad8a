"""All that a resume needs, in one file."""

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from srat.core.errors import UserError, require
from srat.core.tensor_file import DamagedError, TensorFile, Tensors, open_tensors, write_tensors
from srat.models.wrapping.renaming import parameter_order, present_names
from srat.models.wrapping.statistics import tell_of_normalization
from srat.optimization.optimizers import Optimizer
from srat.runs.metrics import Row, no_sums
from srat.training.slots import slots_of

T = TypeVar("T")
KEPT = 2


class Moving(NamedTuple):
    """What the steps of a run move, and a checkpoint brings back."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    parts: nn.Module
    """All state beside these."""
    rule: Optimizer | None
    """What made the optimiser, and so says what it keeps of each parameter; None where that is not known."""
    normalizes: bool = True
    """Whether the model's mean and deviation were chosen for it, so that it is told if a checkpoint has others."""


@dataclass(kw_only=True)
class State:
    """What changes while a run goes on, beside model, optimiser and parts; all else follows from its configuration."""

    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Steps done of the epoch that follows them."""
    sums: Tensor = field(default_factory=no_sums)
    """The metrics of those steps so far."""
    rate_factor: float = 1.0
    """What the learning rates are multiplied by: halved at each roll-back."""
    scaler: dict[str, float] = field(default_factory=dict)
    """What fp16 multiplies its gradients by, and when that changes; empty otherwise."""
    seconds: float = 0.0
    """Time spent, over all sessions."""
    history: list[Row] = field(default_factory=list)
    """A row of metrics for each epoch."""
    best_epoch: int | None = None
    """Epoch with the best accuracy on the held-out part, counted from 0."""
    best_score: float = -1.0
    """That accuracy."""
    best_weights: Tensors = field(default_factory=dict)
    """The model's weights then."""
    selected_under: str = ""
    """The attack under which it was chosen; of version 0.1 that is not said, and was the training attack."""

    @property
    def position(self) -> str:
        """Where the run is, for people; epochs count from 1 there."""
        return _position(self.epoch, self.step)


_FACTS = ("epoch", "step", "rate_factor", "scaler", "seconds", "history", "best_epoch", "best_score", "selected_under")


def save_checkpoint(folder: Path, state: State, moving: Moving, *, run: str) -> None:
    """Write the checkpoint of a state, and remove all but the last two; ``run`` is the configuration's id."""
    folder.mkdir(exist_ok=True)
    tensors = {
        **_prefixed("model", moving.model.state_dict()),
        **_prefixed("best", state.best_weights),
        **_prefixed("optimizer", _optimizer_tensors(moving.optimizer)),
        **_prefixed("parts", moving.parts.state_dict()),
        "sums": state.sums,
    }
    path = folder / f"epoch-{state.epoch:06d}-step-{state.step:07d}.safetensors"
    write_tensors(path, tensors, {"run": run, **{name: getattr(state, name) for name in _FACTS}})
    for old in list_checkpoints(folder)[:-KEPT]:
        old.unlink()


def list_checkpoints(folder: Path) -> list[Path]:
    """Return a run's checkpoints, oldest first."""
    return sorted(folder.glob("epoch-*.safetensors"))


def position_of(path: Path) -> str:
    """Return where a run was when it wrote a checkpoint, as its name says, for people."""
    epoch, step = re.findall(r"\d+", path.stem)[:2]
    return _position(int(epoch), int(step))


def _position(epoch: int, step: int) -> str:
    return f"epoch {epoch + 1}, step {step}"


def load_checkpoint(
    folder: Path,
    moving: Moving,
    *,
    run: str,
    notice: Callable[[str], None],
    but: Path | None = None,
) -> State | None:
    """Put the newest whole checkpoint into model, optimiser and parts, and return its state; None if there is none.

    Args:
        folder: the checkpoints.
        moving: the run's model and what moves with it.
        run: the configuration's id.
        notice: told of each damaged one, which is put aside.
        but: one not to take.

    Raises:
        UserError: if all are damaged, or the newest whole one is of another run.
    """
    damaged: dict[Path, DamagedError] = {}
    for path in reversed([path for path in list_checkpoints(folder) if path != but]):
        try:
            file = open_tensors(path)
        except DamagedError as error:
            damaged[path] = error
            continue
        state = _restore(file, moving, run)
        for other, problem in damaged.items():
            other.replace(other.with_suffix(".damaged"))
            notice(f"{problem}; going on from the one before it, {path.name}")
        return state
    names = ", ".join(path.name for path in damaged)
    require(not damaged, f"{folder}: every checkpoint is damaged ({names}); remove them to start anew")
    return None


def _restore(file: TensorFile, moving: Moving, run: str) -> State:
    model, optimizer, parts = moving.model, moving.optimizer, moving.parts
    try:
        require(file.facts.get("run") == run, "its configuration is another")
        now = _present_keys(file.shapes, model)
        _check_shapes({now[key]: shape for key, shape in file.shapes.items()}, moving)
        tensors = {now[key]: tensor for key, tensor in file.tensors().items()}
        facts = {name: fact for name, fact in file.facts.items() if name != "run"}
        state = State(**facts, sums=tensors["sums"], best_weights=_without("best", tensors))
        _check(state)
        weights = _without("model", tensors)
        if moving.normalizes:
            tell_of_normalization(model, weights)
        model.load_state_dict(weights)
        parts.load_state_dict(_without("parts", tensors))
        _load_optimizer_tensors(optimizer, _without("optimizer", tensors))
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        why = str(error).splitlines()[-1].strip()
        raise UserError(f"{file.path}: not a checkpoint of this run, or of another version ({why})") from error
    return state


def _present_keys(given: Collection[str], model: nn.Module) -> dict[str, str]:
    """Return what each tensor of a checkpoint is called now; wrapped models had other names in version 0.1."""
    names = present_names(model, _without("model", dict.fromkeys(given)))
    order = parameter_order(model, names)

    def present(key: str) -> str:
        kind, _, name = key.partition(".")
        if kind in ("model", "best"):
            return f"{kind}.{names.get(name, name)}"
        index, _, slot = name.partition(".")
        known = kind == "optimizer" and index.isdecimal() and int(index) < len(order)
        return f"{kind}.{order[int(index)]}.{slot}" if known else key

    return {key: present(key) for key in given}


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], moving: Moving) -> None:
    # Before anything is read: a stranger's file may hold more than memory does.
    wanted = {name: tuple(tensor.shape) for name, tensor in moving.model.state_dict().items()}
    best = _without("best", shapes)
    require(_without("model", shapes) == wanted and (not best or best == wanted), "its model is another")
    kept = {name: tuple(tensor.shape) for name, tensor in moving.parts.state_dict().items()}
    require(_without("parts", shapes) == kept, "its parts beside the model are others")
    _check_slots(_without("optimizer", shapes), moving)
    require(shapes.get("sums") == tuple(no_sums().shape), "other sums")
    strange = [
        name
        for name in shapes
        if name != "sums" and name.partition(".")[0] not in ("model", "best", "optimizer", "parts")
    ]
    require(not strange, f"a tensor {''.join(strange[:1])}")


def _check_slots(shapes: Mapping[str, tuple[int, ...]], moving: Moving) -> None:
    """Raise ``UserError`` unless each parameter has all of its slots, or none: one that had no gradient yet."""
    parameters = [parameter for group in moving.optimizer.param_groups for parameter in group["params"]]
    slots = None if moving.rule is None else slots_of(moving.rule, moving.model)
    given: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        index, _, slot = name.partition(".")
        known = index.isdecimal() and int(index) < len(parameters) and bool(slot)
        require(known, f"optimizer.{name}: of no parameter")
        given.setdefault(int(index), {})[slot] = shape
    for number, own in given.items():
        if slots is None:
            fits = all(math.prod(shape) <= parameters[number].numel() for shape in own.values())
        else:
            fits = own == slots.get(number)
        require(fits, f"optimizer.{number}: other slots than its parameter has ({', '.join(sorted(own))})")


def _check(state: State) -> None:
    numbers = (state.rate_factor, state.seconds, state.best_score)
    require(all(type(n) is int and n >= 0 for n in (state.epoch, state.step)), "no such position in a run")
    require(isinstance(state.scaler, dict), "no state of a scaler")
    require(isinstance(state.selected_under, str), "no name of an attack")
    require(
        all(type(n) in (int, float) for n in (*numbers, *state.scaler.values())), "text where a number was expected"
    )
    require(state.best_epoch is None or type(state.best_epoch) is int, "no such best epoch")
    require((state.best_epoch is None) == (not state.best_weights), "a best epoch without its weights")
    require(state.sums.dtype == torch.float64, "other sums")
    rows = isinstance(state.history, list) and len(state.history) == state.epoch
    require(
        rows and all(isinstance(row, dict) and _plain(row) for row in state.history), "not the metrics of its epochs"
    )
    require(len({tuple(row) for row in state.history}) <= 1, "metrics of several kinds")
    require(0 < state.rate_factor <= 1, "no factor of a learning rate")


def _plain(row: Mapping[str, Any]) -> bool:
    return all(type(value) in (int, float) for value in row.values())


def _prefixed(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _without(prefix: str, named: Mapping[str, T]) -> dict[str, T]:
    return {name.removeprefix(f"{prefix}."): item for name, item in named.items() if name.startswith(f"{prefix}.")}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value for index, slots in state.items() for name, value in slots.items() if value is not None
    }


def _load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)]
        whole = bool(tensor.isfinite().all()) and (tensor.ndim > 0 or float(tensor) >= 0)
        require(whole, f"optimizer.{key}: expected finite numbers, and counts of 0 or more")
        # In the parameter's layout, as it was: sums over another layout might round otherwise.
        own = tensor.shape == parameter.shape and tensor.ndim > 0
        like = torch.empty_like(parameter, requires_grad=False) if own else torch.empty_like(tensor)
        state.setdefault(int(index), {})[name] = like.copy_(tensor)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

"""All that a resume needs, written whole, without pickle: tensors and JSON in one safetensors file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from srat.errors import UserError
from srat.files import write_atomically

Tensors = Mapping[str, Tensor]
KEPT = 2
_FACTS = "srat"


@dataclass(kw_only=True)
class State:
    """What changes while a run goes on; all else follows from its configuration and its seed."""

    epoch: int = 0
    """Epochs done."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """A row of metrics for each of them."""
    best_epoch: int | None = None
    """Epoch with the best accuracy on the held-out part, counted from 0."""
    best_score: float = -1.0
    """That accuracy."""
    best_weights: Tensors = field(default_factory=dict)
    """The model's weights then."""


def write_tensors(path: Path, tensors: Tensors, facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able facts to one safetensors file, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, {_FACTS: json.dumps(facts)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what :func:`write_tensors` wrote.

    Raises:
        UserError: if the file is missing, damaged or not ours.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_FACTS])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not a readable file of weights, or truncated ({error})") from error


def save_checkpoint(folder: Path, state: State, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write the checkpoint of ``state.epoch`` epochs, and remove all but the last two."""
    folder.mkdir(exist_ok=True)
    tensors = {
        **_prefixed("model", model.state_dict()),
        **_prefixed("best", state.best_weights),
        **_prefixed("optimizer", _optimizer_tensors(optimizer)),
    }
    facts = {
        "epoch": state.epoch,
        "history": state.history,
        "best_epoch": state.best_epoch,
        "best_score": state.best_score,
    }
    write_tensors(folder / f"epoch-{state.epoch:05d}.safetensors", tensors, facts)
    for old in list_checkpoints(folder)[:-KEPT]:
        old.unlink()


def list_checkpoints(folder: Path) -> list[Path]:
    """Return a run's checkpoints, oldest first."""
    return sorted(folder.glob("epoch-*.safetensors"))


def load_checkpoint(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """Return the newest checkpoint's state, its tensors put into model and optimiser; a new state if there is none."""
    files = list_checkpoints(folder)
    if not files:
        return State()
    try:
        tensors, facts = read_tensors(files[-1])
        model.load_state_dict(_without("model", tensors))
        _load_optimizer_tensors(optimizer, _without("optimizer", tensors))
        return State(**facts, best_weights=_without("best", tensors))
    except (UserError, RuntimeError, TypeError, ValueError) as error:
        before = f"--resume goes on from {files[-2].name}" if len(files) > 1 else "--resume starts anew"
        raise UserError(f"{files[-1]}: damaged, or of another model; remove it, and {before}") from error


def _prefixed(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _without(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")
    }


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value for index, slots in state.items() for name, value in slots.items() if value is not None
    }


def _load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

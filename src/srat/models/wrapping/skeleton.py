"""A module's copy over the same tensors, and whether it does what the module does."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from srat.core.errors import UserError, require
from srat.models.lending import lent
from srat.models.outputs import Pick, find_place, logits_of

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.bfloat16: 3e-2}
"""Of the largest logit; fp16 and what else there is: 1e-2."""


def skeleton_of(module: nn.Module) -> nn.Module:
    """Return a copy of a module over the same parameters and buffers: hooks and modes are its own.

    Raises:
        UserError: if the module cannot be copied.
    """
    memo: dict[int, Any] = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    # Pruning and weight norm leave what they make of a weight beside it, and make it again at each call.
    made = (value for part in module.modules() for value in vars(part).values() if isinstance(value, Tensor))
    memo |= {id(value): value.detach() for value in made if not value.is_leaf}
    try:
        skeleton = copy.deepcopy(module, memo)
    except Exception as error:
        said = f"this {type(module).__name__} cannot be copied ({type(error).__name__}: {error})"
        raise UserError(f"{said}; keep out of it what copy.deepcopy refuses, or give it a __deepcopy__") from error
    ours, theirs = ([id(parameter) for parameter in each.parameters()] for each in (skeleton, module))
    told = f"copy.deepcopy gives this {type(module).__name__} other parameters: expected a copy that shares them"
    require(ours == theirs, told)
    return skeleton


def require_plain(module: nn.Module) -> None:
    """Raise ``UserError`` if a module stands for another one that is to be wrapped in its place."""
    kinds = {kind.__name__ for kind in type(module).__mro__}
    for kind, inner in _CONTAINERS.items():
        told = f"model: {kind} only holds a model: wrap that one, wrap(model.{inner}, …)"
        require(kind not in kinds, f"{told}; what is wrapped can be compiled and distributed")
    scripted = any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
    require(not scripted, "a scripted module's layers cannot be watched: wrap the module that it was made of")
    try:
        with lent(module):
            return
    except NotImplementedError as error:  # so the modules of exported programs do it
        told = f"this {type(module).__name__} has no train and eval mode ({error})"
        raise UserError(f"{told}: wrap the module that it was made of") from error


_CONTAINERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
}
"""By the names of their classes, for their modules take seconds to import."""


def require_same(
    skeleton: nn.Module,
    module: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    *,
    pick: Pick,
) -> Float[Tensor, "batch classes"]:
    """Return the logits of a skeleton, in eval mode; nothing of the two is changed.

    Args:
        skeleton: the copy of a module.
        module: the module; it is asked with the tensors of the copy, wherever they are and of whatever type.
        images: what both take.
        pick: which part of the output the logits are.

    Raises:
        UserError: if the module says something else, or lies behind the copy in part.
    """
    said = f"the wrapped copy of this {type(module).__name__} gives other logits than the module itself"
    with torch.no_grad(), lent(skeleton), lent(module):
        # Asked once more, about other images: what a module keeps of its last call answers no second question.
        answers = [_asked(skeleton, module, x, pick, said) for x in (images, 0.5 * images.flip(-1))]
    for ours, theirs in answers:
        largest = float(theirs.detach().double().abs().nan_to_num(0.0, 0.0, 0.0).max())
        tolerance = _TOLERANCE.get(theirs.dtype, 1e-2) * max(largest, 1e-6)
        alike = ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=0, atol=tolerance, equal_nan=True)
        require(alike, f"{said}: {_ADVICE}")
    return answers[0][0]


def _asked(skeleton: nn.Module, module: nn.Module, images: Tensor, pick: Pick, said: str) -> tuple[Tensor, Tensor]:
    """Return the logits of a skeleton and of its module, which is asked with the tensors of the copy."""
    tensors = {**dict(skeleton.named_parameters()), **dict(skeleton.named_buffers())}

    def said_by(ask: Any) -> Tensor:
        with _same_draws(images.device):
            output = ask(images.clone())
        return logits_of(output, batch=len(images), pick=find_place(output, pick))

    def of_the_module(x: Tensor) -> object:
        return torch.func.functional_call(module, tensors, (x,))

    try:
        with _none_called(module):
            ours = said_by(skeleton)
    except (AttributeError, IndexError, KeyError) as error:
        said_by(of_the_module)  # whose own fault it is if it raises, too
        what = f"the wrapped copy of this {type(module).__name__}"
        raise UserError(f"{what} cannot be called ({error}): {_ADVICE}") from error
    try:
        return ours, said_by(of_the_module)
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise UserError(f"{said}, which cannot be asked any more ({error}): {_ADVICE}") from error


_ADVICE = (
    "its forward must be the same at every call, and must reach its layers through its own attributes (no lambda or "
    "function that holds on to the module, no layer changed after wrap)"
)


@contextmanager
def _same_draws(device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@contextmanager
def _none_called(module: nn.Module) -> Iterator[None]:
    """Refuse, within, that a layer of a module is called: its copy is asked."""

    def watch(name: str, layer: nn.Module) -> Any:
        def before(*_: Any) -> None:
            raise UserError(f"a copy of this {type(module).__name__} calls '{name}' of the module itself: {_ADVICE}")

        return layer.register_forward_pre_hook(before)

    handles = [watch(name, layer) for name, layer in module.named_modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

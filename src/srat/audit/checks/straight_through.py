"""Gradients that pass what stops them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from srat.audit.base import Finding, FurtherAttack, Subject
from srat.audit.searching import Images, Task, broken_along, by_gradient
from srat.evaluation.serving import lent_exactly
from srat.models import logits_at

_STEPS = frozenset(
    function
    for name in ("round", "floor", "ceil", "trunc", "fix", "sign", "sgn", "detach")
    for function in (getattr(torch, name), getattr(Tensor, name))
)
"""Functions that have no gradient, or pass none on."""
_TO_NUMPY = (Tensor.numpy, Tensor.__array__)


@dataclass(frozen=True, kw_only=True)
class StraightThrough(FurtherAttack, name="straight-through"):
    """Rounding, cut gradients and transforms of images: an attack takes them for the identity on its way back."""

    question: ClassVar[str] = "Do gradients straight through rounding and transforms of images lead no further?"

    def examine(self, subject: Subject) -> Finding:
        """Attack what the claimed attack has left, by BPDA (Athalye et al., 2018) with the identity."""
        with torch.no_grad(), lent_exactly(subject.model) as lent, passing_straight_through(lent) as passed:
            logits_at(lent, subject.unit(subject.every[:1]))
        if not passed:
            return Finding(verdict="pass", evidence="the model neither rounds nor transforms images on their way")

        def straight(task: Task, points: Images) -> Images:
            with passing_straight_through(task.model):
                return by_gradient(task, points)

        broken = int(broken_along(subject, straight, purpose=self.name).sum())
        return self.found(subject, broken, f"gradients straight through {', '.join(sorted(set(passed)))}")


@contextmanager
def passing_straight_through(model: nn.Module) -> Iterator[list[str]]:
    """Have gradients pass functions of steps, and modules whose output has their input's shape, as if they were not.

    What comes out of them stays the same: h(x) becomes x + (h(x) − x) without a gradient of the latter. A module counts
    whose input is as large as an image: what comes later in a network is no transform of images.

    Args:
        model: the model; nothing of it stays changed.

    Yields:
        The names of what has been passed so, in the order of their use.

    Source: Athalye et al., 2018, Obfuscated Gradients Give a False Sense of Security, Section 4.1.
    """
    passed: list[str] = []
    shapes: list[torch.Size] = []

    def see(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not shapes and inputs and isinstance(inputs[0], Tensor):
            shapes.append(inputs[0].shape[1:])

    def pass_on(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        images = inputs[0] if inputs else None
        if not isinstance(images, Tensor) or not isinstance(output, Tensor) or images.dtype != output.dtype:
            return None
        if images.shape != output.shape or images.shape[1:] not in shapes:
            return None
        passed.append(type(module).__name__)
        return _straight(images, output)

    hooks = [model.register_forward_pre_hook(see)]
    hooks += [module.register_forward_hook(pass_on) for module in model.modules() if module is not model]
    try:
        with _Steps(passed):
            yield passed
    finally:
        for hook in hooks:
            hook.remove()


def _straight(value: Tensor, result: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        return value + (result - value).detach()


class _Steps(TorchFunctionMode):
    """Lets gradients pass functions of steps."""

    def __init__(self, passed: list[str]) -> None:
        super().__init__()
        self.passed = passed

    @override
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in _TO_NUMPY:  # which refuses what has a gradient; `detach` has given it one
            args = (args[0].detach(), *args[1:])
        result = func(*args, **named)
        if func not in _STEPS:
            return result
        value = args[0] if args else named["input"]
        if not value.is_floating_point():
            return result
        self.passed.append(func.__name__)
        return _straight(value, result) if value.requires_grad else result

"""BatchNorm in eval mode is affine: folded into the convolution before it, it costs an attack nothing."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from srat.models.lending import lent
from srat.models.outputs import logits_of
from srat.models.sync_batch_norm import SyncBatchNorm2d


class Pair(NamedTuple):
    """A convolution and the BatchNorm that alone sees its output."""

    convolution: str
    """Its name within the model."""
    norm: str
    """Its name within the model."""


class Folding:
    """The convolutions of a model that BatchNorm follows, beside copies that do the work of both.

    With a = γ / √(σ² + ε), BatchNorm by its running statistics after a convolution is the convolution with
    weight a · w and bias β + a · (b − μ).

    Args:
        model: the model; it stays as it is.
        pairs: what to fold, as `find_pairs` returns it.
        dtype: of the copies; weights are folded in their own dtype, and rounded once.
    """

    def __init__(self, model: nn.Module, pairs: list[Pair], dtype: torch.dtype) -> None:
        self._sites = [site for pair in pairs for site in (_site(model, pair.convolution), _site(model, pair.norm))]
        self._modules = [parent.get_submodule(name) for parent, name in self._sites]
        self._folded = [_empty_copy(convolution, dtype) for convolution in self._modules[::2]]
        self._stand_ins = [module for folded in self._folded for module in (folded, nn.Identity())]

    @torch.no_grad()
    def refresh(self) -> None:
        """Fold the weights and statistics as they are now."""
        for convolution, norm, folded in zip(self._modules[::2], self._modules[1::2], self._folded, strict=True):
            fold(convolution, norm, folded)  # type: ignore[arg-type]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put copies, folded again, in place of the convolutions and nothing in place of BatchNorm; then undo it."""
        self.refresh()
        try:
            for (parent, name), stand_in in zip(self._sites, self._stand_ins, strict=True):
                setattr(parent, name, stand_in)
            yield
        finally:
            for (parent, name), module in zip(self._sites, self._modules, strict=True):
                setattr(parent, name, module)


def fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d, into: nn.Conv2d) -> None:
    """Write a convolution and the eval-mode BatchNorm after it into one convolution that has a bias."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert into.bias is not None
    factor = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        factor = factor * norm.weight
    offset = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
    shift = offset * factor if norm.bias is None else torch.addcmul(norm.bias, offset, factor)
    into.weight.copy_(convolution.weight * factor[:, None, None, None])
    into.bias.copy_(shift)


def find_folding(model: nn.Module, images: Tensor, dtype: torch.dtype) -> Folding | None:
    """Return the folding of a model, or None if there is nothing to fold, or folding would change what it says.

    Args:
        model: the model.
        images: (batch, channels, height, width), some images to look and to compare with.
        dtype: what the folded convolutions will compute in.
    """
    with torch.no_grad(), lent(model):
        plain = logits_of(model(images))
        pairs = find_pairs(model, images)
        if not pairs:
            return None
        with Folding(model, pairs, images.dtype).in_place():
            folded = logits_of(model(images))
    alike = torch.allclose(plain, folded, rtol=1e-3, atol=1e-3 * float(plain.abs().amax()))
    return Folding(model, pairs, dtype) if alike else None


def find_pairs(model: nn.Module, images: Tensor) -> list[Pair]:
    """Return every convolution whose output goes into a BatchNorm and nowhere else, found by watching one pass."""
    names = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    made: dict[int, str] = {}
    seen: list[tuple[int, str]] = []
    calls: Counter[str] = Counter()
    uses = _Uses()

    def watch(name: str, module: nn.Module) -> Any:
        if type(module) is nn.Conv2d:

            def after(_: nn.Module, __: Any, output: Tensor) -> None:
                made[uses.key(output)] = name
                calls[name] += 1

            return module.register_forward_hook(after)

        def before(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen.append((uses.key(inputs[0]), name))
            calls[name] += 1

        return module.register_forward_pre_hook(before)

    hooks = [watch(name, module) for name, module in model.named_modules() if _is_plain(module)]
    try:
        with uses:
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    once = {name for name, count in calls.items() if count == 1 and names[id(model.get_submodule(name))] == 1}
    return [
        Pair(made[key], norm)
        for key, norm in seen
        if uses.count[key] == 1 and key in made and {norm, made[key]} <= once
    ]


class _Uses(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts how many operations take each tensor; keeps them all alive, so that no two share a key."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count: Counter[int] = Counter()
        self._alive: list[Tensor] = []

    def key(self, tensor: Tensor) -> int:
        """Return what names a tensor."""
        self._alive.append(tensor)
        return id(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count what it takes."""
        del types
        self.count.update(self.key(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        return func(*args, **(kwargs or {}))


def _is_plain(module: nn.Module) -> bool:
    # Pruning, weight norm and the like make a weight of other parameters at each call, and hooks would be lost.
    parameters = dict(module.named_parameters(recurse=False))
    if type(module) is nn.Conv2d:
        hooked = module._forward_pre_hooks or module._forward_hooks
        as_made = parameters.keys() in ({"weight"}, {"weight", "bias"}) and module.weight.dtype == torch.float32
        return as_made and not hooked
    return type(module) in (nn.BatchNorm2d, SyncBatchNorm2d) and module.running_mean is not None


def _site(model: nn.Module, path: str) -> tuple[nn.Module, str]:
    parent, _, name = path.rpartition(".")
    return model.get_submodule(parent), name


def _empty_copy(convolution: nn.Module, dtype: torch.dtype) -> nn.Conv2d:
    assert isinstance(convolution, nn.Conv2d)
    copy = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        stride=convolution.stride,  # type: ignore[arg-type]
        padding=convolution.padding,  # type: ignore[arg-type]
        dilation=convolution.dilation,  # type: ignore[arg-type]
        groups=convolution.groups,
        padding_mode=convolution.padding_mode,
        device="meta",
    ).requires_grad_(False)
    copy.weight = nn.Parameter(torch.empty_like(convolution.weight, dtype=dtype), requires_grad=False)
    copy.bias = nn.Parameter(convolution.weight.new_empty(convolution.out_channels, dtype=dtype), requires_grad=False)
    return copy

"""How far a training step is from its limit: its convolutions and matrix products alone, against the whole of it.

One real step is watched: every convolution and matrix product that it calls, forward and backward, with shapes,
types, layouts and arguments. The same calls, in the same order, are then timed on fresh tensors, in turns with the
whole step; the ratio of the two times is the share that no faster code around them could take away. A compiled step
is held against the calls of the same step uncompiled.

usage: python benchmarks/limit.py [--device cuda] [--only VARIANT …]
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

import torch
from measuring import (
    Function,
    Spread,
    Variant,
    Work,
    heading,
    interleaved,
    one_batch,
    step_parser,
    stepper,
    table,
    variants_on,
    work_of,
)
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from srat.runtime.precision import tensor_float

aten = torch.ops.aten
PRODUCTS = {
    aten.convolution,
    aten.convolution_backward,
    aten.linear,
    aten.mm,
    aten.addmm,
    aten.addmm_,
    aten.bmm,
    aten.baddbmm,
}


@dataclass(frozen=True)
class Layout:
    """What a tensor is, but for its contents."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, tensor: Tensor) -> "Layout":
        """Return the layout of a tensor."""
        return cls(tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device)

    def fresh(self) -> Tensor:
        """Return a tensor of this layout, filled with normal noise."""
        span = 1 + sum((length - 1) * step for length, step in zip(self.shape, self.stride, strict=True))
        storage = torch.randn(span if prod(self.shape) else 0, device=self.device).to(self.dtype)
        return storage.as_strided(self.shape, self.stride)


class Call(NamedTuple):
    """An operation with its arguments, layouts in place of tensors."""

    operation: Any
    args: Any
    kwargs: Any


class Recorder(TorchDispatchMode):
    """Remembers the convolutions and matrix products that are called within the context."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and remember it if it is a product."""
        del types
        kwargs = kwargs or {}
        if func.overloadpacket in PRODUCTS:
            self.calls.append(Call(func, *tree_map_only(Tensor, Layout.of, (args, kwargs))))
        return func(*args, **kwargs)


def products(work: Work, variant: Variant) -> list[Call]:
    """Return what one uncompiled step calls."""
    training = work.training(replace(variant, compiled="off"))
    step = stepper(training, one_batch(training))
    with Recorder() as recorder:
        step()
    return recorder.calls


def replayed(calls: Iterable[Call], *, tf32: bool) -> Function:
    """Return a function that makes the calls on fresh tensors; calls share those that are alike."""
    pool: dict[tuple[int, Layout], Tensor] = {}
    ready = []
    for operation, args, kwargs in calls:
        leaves, tree = tree_flatten((args, kwargs))
        for place, leaf in enumerate(leaves):
            if isinstance(leaf, Layout):
                if (place, leaf) not in pool:
                    pool[place, leaf] = leaf.fresh()
                leaves[place] = pool[place, leaf]
        ready.append((operation, *tree_unflatten(leaves, tree)))

    @torch.no_grad()
    def replay() -> None:
        with tensor_float(tf32):
            for operation, args, kwargs in ready:
                operation(*args, **kwargs)

    return replay


def main() -> None:
    """Measure each variant's step and its products in turns, and print the ratio."""
    parser = step_parser(__doc__)
    chosen = ("fp32", "fp32-compiled", "bf16", "bf16-compiled")
    parser.add_argument("--only", nargs="+", metavar="VARIANT", default=chosen, help="of those that step.py names")
    options = parser.parse_args()
    work, known = work_of(options), variants_on(options.device)
    if missing := [name for name in options.only if name not in known]:
        parser.error(f"--only: there is no {missing[0]}; there are: {', '.join(known)}")
    functions: dict[str, Function] = {}
    numbers: dict[str, int] = {}
    for name in options.only:
        variant = known[name]
        calls, training = products(work, variant), work.training(variant)
        numbers[name] = len(calls)
        functions[f"{name} products"] = replayed(calls, tf32=variant.precision == "tf32")
        functions[f"{name} step"] = stepper(training, one_batch(training))
    taken = interleaved(functions, rounds=options.rounds, device=options.device, repeats=options.repeats)
    spreads = {name: Spread.of([1e3 * time for time in times]) for name, times in taken.items()}
    rows = [("", "products", "ms (min–max)", "step ms (min–max)", "products / step")]
    for name in options.only:
        alone, whole = spreads[f"{name} products"], spreads[f"{name} step"]
        cells = (f"{time.median:.1f} ({time.low:.1f}–{time.high:.1f})" for time in (alone, whole))
        rows.append((name, str(numbers[name]), *cells, f"{alone.median / whole.median:.2f}"))
    print(heading(options.device, model=work.config.model, batch=options.batch, method=options.method))
    print(table(rows))


if __name__ == "__main__":
    main()

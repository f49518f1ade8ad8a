"""Which layer of a module is its head, found by watching a pass, and what enters it."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from srat.core.errors import UserError, require
from srat.models.outputs import NAME_IT, Pick, Place, candidates, described, find_place, logits_of, part_at, tables_of

Node = Any
"""A node of autograd's graph."""


class Tap:
    """A pre-hook that keeps what enters a layer, while someone listens; nothing otherwise, so that it can be copied."""

    def __init__(self) -> None:
        self._kept: list[Tensor] | None = None

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Keep a copy, which operations in place leave as it is."""
        if self._kept is not None:
            self._kept.append(pooled(_entering(args, kwargs), layer).clone())

    @contextmanager
    def kept(self) -> Iterator[list[Tensor]]:
        """Give a list that what enters within goes into."""
        kept = self._kept = []
        try:
            yield kept
        finally:
            self._kept = None

    def listen_to(self, layer: nn.Module) -> None:
        """Become a hook of a layer."""
        layer.register_forward_pre_hook(self, with_kwargs=True)

    def listens_to(self, layer: nn.Module) -> bool:
        """Return whether this is a hook of a layer."""
        return any(hook is self for hook in layer._forward_pre_hooks.values())

    def leave(self, layer: nn.Module) -> None:
        """Be a hook of a layer no more."""
        for key in [key for key, hook in layer._forward_pre_hooks.items() if hook is self]:
            layer._forward_pre_hooks.pop(key)
            layer._forward_pre_hooks_with_kwargs.pop(key, None)


class Call(NamedTuple):
    """A call of a layer."""

    name: str
    entered: Node
    """Where in the graph its input comes from."""
    left: Node
    """Where its output does."""
    columns: int
    """Length of its output's axis of channels; 0 if there is none."""


def pooled(entering: Tensor, layer: nn.Module) -> Float[Tensor, "batch dimensions"]:
    """Return features of two axes: averaged over places or tokens if there are more.

    Args:
        entering: what enters the layer, (batch, dimensions), (batch, tokens, dimensions) or (batch, channels, …).
        layer: of a convolution the channels come before the places, of a linear layer after them.
    """
    if entering.ndim <= 2:
        return entering
    if _channels_last(layer, entering.ndim):
        return entering.flatten(1, -2).mean(dim=1)
    return entering.flatten(2).mean(dim=2)


def find_head(
    module: nn.Module, images: Float[Tensor, "batch channels height width"], *, named: str | None, pick: Pick
) -> tuple[str, Place]:
    """Return the name of the layer that makes the logits, the last of its kind in a pass, and where the logits are.

    A layer can be the head if it has a weight of its own, is called once, gives as many columns as there are logits,
    and the logits depend on it. Of several, each has to feed the next.

    Args:
        module: in eval mode, no parameter asking for a gradient.
        images: what it takes.
        named: the head as the user says; None to look for it.
        pick: which part of the output the logits are.

    Raises:
        UserError: if no layer is the head, or several could be.
    """
    output, calls = _watch(module, images)
    place = find_place(output, pick)
    if named is not None:
        called = any(call.name == named for call in calls)
        require(called, f"head='{named}': this layer is not called in forward; {_advice(module)}")
        return named, place
    logits = logits_of(output, batch=len(images), pick=place)
    found = [call for call in calls if call.columns == logits.shape[1] and _could_be_head(module, call, calls)]
    if logits.grad_fn is not None:
        found = [call for call in found if _reaches(logits.grad_fn, call.left)]
    require(bool(found), f"could not find the layer that produces the {logits.shape[1]} logits; {_advice(module)}")
    last = found[-1]
    beside = [call.name for call in found[:-1] if not _reaches(last.entered, call.left)]
    names = " and ".join(f"'{name}'" for name in (last.name, *beside))
    require(not beside, f"no single layer is the head: {names} are side by side; {_advice(module)}")
    return last.name, place


def place_by_graph(module: nn.Module, images: Float[Tensor, "batch channels height width"]) -> Place | None:
    """Return where the logits are if several outputs could be these, and one is made of all others by a layer.

    So features of the logits' width are told from them. Two heads side by side, and logits beside what a function
    makes of them, are not: None.

    Args:
        module: in eval mode, no parameter asking for a gradient.
        images: what it takes.
    """
    output, calls = _watch(module, images)
    there = {} if isinstance(output, Tensor) else candidates(output)
    heads = [call for call in calls if _could_be_head(module, call, calls)]
    last = [
        place
        for place, table in there.items()
        if all(_made_by_layer(table, other, heads) for other in there.values() if other is not table)
    ]
    return last[0] if len(there) > 1 and len(last) == 1 else None


def _made_by_layer(table: Tensor, before: Tensor, calls: Sequence[Call]) -> bool:
    """Return whether one tensor is made of another by a layer that gives as many columns."""
    made = (call for call in calls if call.columns == table.shape[1])
    return any(_reaches(table.grad_fn, call.left) and _reaches(call.entered, before.grad_fn) for call in made)


def find_place_in_training(
    module: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    *,
    head: str,
    classes: int,
    pick: Pick,
    place: Place,
) -> tuple[Place, Tensor]:
    """Return where the logits of the head are in what a module returns in train mode, and these logits.

    It may return more than in eval mode, or another thing.

    Args:
        module: in train mode, no parameter asking for a gradient.
        images: what it takes, two at least.
        head: name of the layer that makes the logits in eval mode.
        classes: how many logits there are.
        pick: where they are, as the user says.
        place: where they are in eval mode.

    Raises:
        UserError: if no output depends on the head, or several do.
    """
    output, calls = _watch(module, images)
    own = _tables_behind([call.left for call in calls if call.name == head], output, (len(images), classes))
    said = f"in train mode this model returns {described(output)}"
    require(bool(own), f"{said}, which does not come from its head, '{head}'")
    wanted = place if pick is None else find_place(output, pick)
    with suppress(UserError):  # nothing need be there in train mode
        chosen = part_at(output, wanted)
        if isinstance(chosen, Tensor) and any(table is chosen for table in own.values()):
            return wanted, chosen
    require(pick is None, f"{said}, where output={pick!r} is not of its head, '{head}'; {NAME_IT}")
    single = len({id(table) for table in own.values()}) == 1
    require(single, f"{said}, several of which could be the logits; {NAME_IT}")
    return next(iter(own.items()))


def _tables_behind(made: Sequence[Node], output: object, shape: tuple[int, int]) -> dict[Place, Tensor]:
    """Return the tensors of a shape in an output that depend on what a layer made, at each of its calls."""
    tables = {place: table for place, table in tables_of(output).items() if table.shape == shape}
    if made and not any(made):  # no trace of the layer in the graph, as within a checkpoint: any may be its own
        return tables
    return {place: table for place, table in tables.items() if any(_reaches(table.grad_fn, node) for node in made)}


def _watch(module: nn.Module, images: Tensor) -> tuple[object, list[Call]]:
    """Return what a module says of images, and the calls of its layers, in a graph that leads back to the images."""
    with torch.enable_grad(), _watched(module) as calls, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that float(x) leaves the graph: this pass is nobody's
        # In a graph, and no leaf of it, for modules that write into what they are given.
        return module(images.detach().requires_grad_() * 1), calls


def layer_names(module: nn.Module) -> str:
    """Return the names of a module's innermost layers, for a message."""
    return ", ".join(name for name, child in module.named_modules() if name and not list(child.children())) or "none"


def _advice(module: nn.Module) -> str:
    return f"name the last layer with srat.models.wrap(…, head=…); there are: {layer_names(module)}"


@contextmanager
def _watched(module: nn.Module) -> Iterator[list[Call]]:
    """Note the calls of all layers within, in the order in which they end."""
    calls: list[Call] = []

    def watch(name: str, layer: nn.Module) -> Any:
        def after(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            entered = next((leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)), None)
            made = output if isinstance(output, Tensor) and output.ndim >= 2 else None
            axis = -1 if made is not None and _channels_last(layer, made.ndim) else 1
            columns = 0 if made is None else made.shape[axis]
            calls.append(Call(name, getattr(entered, "grad_fn", None), getattr(made, "grad_fn", None), columns))

        return layer.register_forward_hook(after, with_kwargs=True)

    handles = [watch(name, layer) for name, layer in module.named_modules() if name]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _could_be_head(module: nn.Module, call: Call, calls: Sequence[Call]) -> bool:
    """Return whether a layer has a weight of its own, holds no other that has, and is called once."""
    layer = module.get_submodule(call.name)
    inside = (part for name, part in layer.named_modules() if name and not name.startswith("parametrizations"))
    once = sum(other.name == call.name for other in calls) == 1
    return once and bool(_weights(layer)) and not any(_weights(part) for part in inside)


def _weights(layer: nn.Module) -> list[Tensor]:
    """Return a layer's own parameters of two axes or more; of a parametrised one, what its weight is made of."""
    own = list(layer.parameters(recurse=False))
    if isinstance(made_of := getattr(layer, "parametrizations", None), nn.ModuleDict):
        own += made_of.parameters()
    return [parameter for parameter in own if parameter.ndim >= 2]


def _channels_last(layer: nn.Module, axes: int) -> bool:
    weights = _weights(layer)
    return all(weight.ndim == 2 for weight in weights) if weights else axes == 3


def _reaches(start: Node, wanted: Node) -> bool:
    """Return whether a node of autograd's graph depends on another."""
    seen, waiting = {None}, [start]
    while waiting:
        node = waiting.pop()
        if node is wanted and node is not None:
            return True
        if node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return False


def _entering(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    entering = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
    if entering is None:
        raise UserError("the head takes no tensor: name a layer that does, srat.models.wrap(…, head=…)")
    return entering

"""Weights of wrapped models as version 0.1 named them."""

from collections.abc import Collection, Sequence

from torch import nn

from srat.models.wrapping.wrapper import Wrapped


def present_names(model: nn.Module, given: Collection[str]) -> dict[str, str]:
    """Return what each tensor of a file is called in a model.

    Version 0.1 took the head out of a wrapped module: "head.weight" is "backbone.fc.weight" now.

    Args:
        model: the model that the tensors are of.
        given: the names in the file.

    Returns:
        The file's names, each with the model's.
    """
    same = {name: name for name in given}
    if not isinstance(model, Wrapped) or not any(name.startswith("head.") for name in given):
        return same
    wanted = model.state_dict().keys()
    for layer in (f"backbone.{name}." for name, _ in model.backbone.named_modules() if name):
        before = {f"head.{name.removeprefix(layer)}" if name.startswith(layer) else name: name for name in wanted}
        if before.keys() == set(given):
            return before
    return same


def parameter_order(model: nn.Module, names: dict[str, str]) -> Sequence[int]:
    """Return which parameter of a model each of a file's optimiser was, which counts them as they came then.

    Args:
        model: the model.
        names: of `present_names`; the head, which alone has another name now, came last.
    """
    moved = {now for before, now in names.items() if before != now}
    parameters = [name for name, _ in model.named_parameters()]
    return sorted(range(len(parameters)), key=lambda index: parameters[index] in moved)

"""Buffers that go with the parameters beside them, whoever moves or converts these."""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from srat.core.gradients import is_made


def followers(module: nn.Module) -> Mapping[str, bool]:
    """Return the names of the buffers that lie where the parameters beside them do, and whether they share their type.

    Args:
        module: the module. A layer without parameters goes by the first one of the module.
    """
    return {
        name: buffer.dtype == parameter.dtype
        for name, _, _, buffer, parameter in _beside(module)
        if buffer.device == parameter.device
    }


def follow(module: nn.Module, known: Mapping[str, bool]) -> None:
    """Bring buffers to the device and type of the parameters beside them.

    Parameters that two modules share are converted in place by the ``.to(…)`` of either, but buffers are replaced in
    that one alone.

    Args:
        module: the module.
        known: of `followers`, when all were in step.
    """
    for name, part, leaf, buffer, parameter in _beside(module):
        if name not in known:
            continue
        dtype = parameter.dtype if known[name] else buffer.dtype
        if buffer.device != parameter.device or buffer.dtype != dtype:
            part._buffers[leaf] = buffer.to(parameter.device, dtype)


def _beside(module: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor, Tensor]]:
    """Yield each buffer, by its whole name, its layer and its name there, and the parameter that it goes with."""
    first = next(module.parameters(), None)
    for name, part in module.named_modules():
        if not part._buffers:
            continue
        beside = next(part.parameters(recurse=False), first)
        for leaf, buffer in part._buffers.items():
            if buffer is not None and beside is not None and is_made(buffer):
                yield f"{name}.{leaf}".lstrip("."), part, leaf, buffer, beside

"""The user's module, from which a wrapped model's copy was taken, and whether it is still the same."""

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from srat.core.errors import UserError

Reference = Callable[[], Any]


class Registered(NamedTuple):
    """What was registered in a part of a module; nothing here keeps it alive."""

    part: Reference
    kind: str
    """Layers, parameters or buffers: "_modules", "_parameters" or "_buffers"."""
    name: str
    """The part's name within the module."""
    members: dict[str, Reference]

    def changed(self) -> str | None:
        """Return the name of a member that was added, taken away or replaced; None if all are the same."""
        if (owner := self.part()) is None:
            return None
        present: dict[str, Any] = getattr(owner, self.kind)
        replaced = _is_other_buffer if self.kind == "_buffers" else _is_other
        if present.keys() != self.members.keys():
            return min(present.keys() ^ self.members.keys())
        return next((name for name, member in self.members.items() if replaced(present[name], member)), None)

    def released(self) -> "Registered":
        """Return the same, holding no member."""
        return self._replace(members={name: _reference(member()) for name, member in self.members.items()})


class Original:
    """A module as it was when it was wrapped.

    Args:
        module: it; held until `released`. None for one that nobody knows any more.
    """

    def __init__(self, module: nn.Module | None) -> None:
        self.module = module
        self._registered = [] if module is None else _registered(module)

    def released(self) -> "Original":
        """Return one that lets the module go, and goes on noticing changes as long as the module lives."""
        left = Original(None)
        left._registered = [each.released() for each in self._registered]
        return left

    def require_unchanged(self) -> None:
        """Raise ``UserError`` if a layer, a parameter or a buffer of the module was replaced since it was wrapped."""
        for each in self._registered:
            if changed := each.changed():
                where = f"{each.name}.{changed}".lstrip(".")
                raise UserError(
                    f"'{where}' of the module was changed after wrap(…), which took it as it was: wrap it again"
                )

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to copy it: a copy refers to the copied module, or to none after release."""
        if self.module is not None:
            self.require_unchanged()
        return Original, (self.module,)


def _registered(module: nn.Module) -> list[Registered]:
    return [
        Registered(weakref.ref(part), kind, name, {key: refer(each) for key, each in getattr(part, kind).items()})
        for name, part in module.named_modules()
        for kind, refer in (("_modules", _reference), ("_parameters", _reference), ("_buffers", _held))
    ]


def _nothing() -> None:
    """Refer to what was None."""


def _reference(value: object) -> Reference:
    return _nothing if value is None else weakref.ref(value)


def _held(value: object) -> Reference:
    return _nothing if value is None else lambda: value


def _is_other(present: object, member: Reference) -> bool:
    return present is not member()


def _is_other_buffer(present: torch.Tensor | None, member: Reference) -> bool:
    """Return whether a buffer has another value in another tensor.

    ``.to(…)`` makes another tensor of the same value, but for the rounding of a narrower type.

    Of one that nobody holds any more there is nothing to compare.
    """
    was = member()
    if present is was or (was is None and member is not _nothing):
        return False
    if present is None or was is None or present.shape != was.shape:
        return True
    if present.is_meta != was.is_meta:
        return False  # on "meta" there are no values
    return not torch.equal(present.to(was), was) and not torch.equal(was.to(present), present)

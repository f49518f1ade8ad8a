"""The user's module, from which a wrapped model's copy was taken, and whether it is still the same."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from srat.core.errors import UserError

Reference = Callable[[], Any]


class Registered(NamedTuple):
    """What was registered in a part of a module; nothing here keeps it alive."""

    part: Reference
    kind: str
    """Layers or parameters: "_modules" or "_parameters"."""
    name: str
    """The part's name within the module."""
    members: dict[str, Reference]


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
        left._registered = self._registered
        return left

    def require_unchanged(self) -> None:
        """Raise ``UserError`` if a layer or a parameter of the module is another one than when it was wrapped."""
        for part, kind, name, members in self._registered:
            owner = part()
            if owner is not None and (changed := _changed(getattr(owner, kind), members)):
                where = f"{name}.{changed}".lstrip(".")
                raise UserError(
                    f"'{where}' of the module was changed after wrap(…), which took it as it was: wrap it again"
                )

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to copy it: a copy knows the copied module, and none once it is let go."""
        if self.module is not None:
            self.require_unchanged()
        return Original, (self.module,)


def _registered(module: nn.Module) -> list[Registered]:
    return [
        Registered(weakref.ref(part), kind, name, {key: _reference(each) for key, each in getattr(part, kind).items()})
        for name, part in module.named_modules()
        for kind in ("_modules", "_parameters")
    ]


def _reference(value: object) -> Reference:
    return (lambda: None) if value is None else weakref.ref(value)


def _changed(present: Mapping[str, object], members: Mapping[str, Reference]) -> str | None:
    """Return the name of a member that was added, taken away or replaced; None if all are the same."""
    if present.keys() != members.keys():
        return min(present.keys() ^ members.keys())
    return next((name for name, member in members.items() if present[name] is not member()), None)

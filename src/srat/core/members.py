"""Members of a family are the dataclasses that derive from it, wherever they are; they are looked up when asked."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, TypeVar

from srat.core.checked import Checked
from srat.core.errors import unknown
from srat.core.warn import warn

PLUGINS = "srat.members"
"""The entry points of installed packages that have members: each names a module, which is imported."""


@dataclass(frozen=True, kw_only=True)
class Member(Checked):
    """One choice within a family: hyper-parameters, stored beside the pure function that they are for.

    A family is an abstract subclass; a member is a subclass of that with a name:

        class Loss(Member): ...
        class Focal(Loss, name="focal"): ...

    A family that had a single member in version 0.1, which no configuration named, says which: ``unnamed="sgd"``.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]]
    hidden: ClassVar[bool]
    unnamed: ClassVar[str] = ""
    """The member that a configuration without a name means."""

    def __init_subclass__(
        cls, *, name: str = "", aliases: tuple[str, ...] = (), hidden: bool = False, unnamed: str = ""
    ) -> None:
        super().__init_subclass__()
        cls.name = name
        cls.aliases = aliases
        cls.hidden = hidden
        cls.unnamed = unnamed or cls.unnamed


NOT_IDENTITY: Mapping[str, Any] = {"identity": False}
"""Metadata of a field that says where or how, not what: a run's id leaves it out."""


def since(neutral: Any) -> dict[str, Any]:
    """Return metadata of a field that came after version 0.1: what a configuration meant that says nothing of it.

    A run's id leaves the field out where it has that value, so that growth changes no id.

    Args:
        neutral: the value.
    """
    return {"neutral": neutral}


F = TypeVar("F", bound=Member)


def members(family: type[F]) -> dict[str, type[F]]:
    """Return every member of ``family`` by its name, in alphabetical order, those of installed packages among them."""
    import_plugins()
    found: dict[str, type[F]] = {}
    for cls in _descendants(family):
        first = found.setdefault(cls.name, cls)
        if _where(first) == _where(cls):  # a cell of a notebook that was run again
            found[cls.name] = cls
        elif cls.name:
            _tell_of_twin(cls.name, _where(first), _where(cls))
    return {name: found[name] for name in sorted(found) if name}


def _where(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


@cache
def _tell_of_twin(name: str, first: str, other: str) -> None:
    """Warn, once, of two members of one name."""
    warn(f"{other} is passed over: {first} has the name '{name}', too")


def choices(family: type[F]) -> list[str]:
    """Return the names of ``family`` that a user can choose; a hidden member is made in Python alone."""
    return [name for name, cls in members(family).items() if not cls.hidden]


def choose(family: type[F], name: str, kind: str) -> F:
    """Return the member of ``family`` called ``name``, with its default hyper-parameters.

    Raises:
        UserError: if no member has that name; ``kind`` says what was asked for.
    """
    by_word = members_by_word(family)
    if (word := plain(name)) not in by_word:
        raise unknown(kind, name, choices(family))
    return by_word[word]()


def members_by_word(family: type[F]) -> dict[str, type[F]]:
    """Return the members of ``family`` that a user can choose, by their names and by their aliases."""
    chosen = [cls for cls in members(family).values() if not cls.hidden]
    return {word: cls for cls in chosen for word in (cls.name, *cls.aliases)}


def plain(name: str) -> str:
    """Return a name as ours are written: SRAT_LDAM is srat-ldam."""
    return name.replace("_", "-").lower()


def import_members(package: str) -> None:
    """Import every module of ``package``, so that the members which they define are known."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")


@cache
def import_plugins() -> None:
    """Import, once, the modules that installed packages name; one that fails is said, and stops nothing."""
    for point in entry_points(group=PLUGINS):
        try:
            point.load()
        except Exception as error:  # a stranger's module may do anything
            warn(f"the members of {point.value} cannot be imported ({type(error).__name__}: {error})")


def _descendants(family: type[F]) -> Iterator[type[F]]:
    for child in family.__subclasses__():
        yield child
        yield from _descendants(child)

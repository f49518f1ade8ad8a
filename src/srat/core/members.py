"""Members of a family are the dataclasses that derive from it, wherever they are; they are looked up when asked."""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache, wraps
from importlib.metadata import entry_points
from types import new_class
from typing import Any, ClassVar, TypeVar, cast

from srat.core.checked import Checked
from srat.core.errors import UserError, unknown
from srat.core.plugins import plugins
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
    """Return every member of ``family`` by its name, in alphabetical order, also those of packages and plugins."""
    import_plugins()
    plugins()
    found: dict[str, type[F]] = {}
    for cls in _descendants(family):
        first = found.setdefault(cls.name, cls)
        if first is cls:
            continue
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
        if not issubclass(child, Missing):
            yield child
            yield from _descendants(child)


@dataclass(frozen=True, kw_only=True)
class Missing(Member):
    """Stands for a member that is not known here, of a package or a plugin, in a configuration that is only looked at.

    It keeps what the configuration says of it; what would need its code is refused in a line.
    """

    family: ClassVar[str] = ""
    """What its family is called in a configuration."""
    rest: str = "{}"
    """Its settings beside those of every member of its family, as JSON."""

    @property
    def settings_kept(self) -> dict[str, Any]:
        """Its settings beside those of every member of its family."""
        return dict(json.loads(self.rest))

    @property
    def error(self) -> UserError:
        """What is said where its code is needed."""
        there = "install the package that has it, or name its file (`plugin`)"
        return UserError(f"`{self.family}` {self.name}: not known here; {there}")


def missing(kind: type[F], family: str, name: str, settings: Mapping[str, Any]) -> tuple[type[F], dict[str, Any]]:
    """Return the class that stands for an unknown member, and its fields as JSON's values.

    Args:
        kind: the family.
        family: what it is called in a configuration.
        name: the member's.
        settings: what the configuration says of it.
    """
    known = {field.name for field in fields(kind)} & settings.keys()
    rest = {key: value for key, value in settings.items() if key not in known}
    return _stand_in(kind, family, name), {key: settings[key] for key in known} | {"rest": json.dumps(rest)}


@cache
def _stand_in(kind: type[F], family: str, name: str) -> type[F]:
    methods = inspect.getmembers(kind, inspect.isfunction)
    asked: dict[str, Any] = {
        key: _refused(method) for key, method in methods if key == "__call__" or not key.startswith("__")
    }
    asked["family"] = family
    made = new_class(f"Missing{kind.__name__}", (Missing, kind), {"name": name}, lambda body: body.update(asked))
    return cast(type[F], dataclass(frozen=True, kw_only=True)(made))


def _refused(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of a family that says what is missing where the family leaves it to its members."""

    @wraps(method)
    def asked(self: Missing, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except NotImplementedError:
            raise self.error from None

    return asked

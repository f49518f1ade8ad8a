"""Settings and their flags: the rest of the house knows a setting by its path alone, `data.white_level`."""

import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache, partial
from typing import Annotated, Any, get_args, get_type_hints

import tyro
from rich.console import Console
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from srat.config.command_line import READ, SHORT, flag, words_of
from srat.config.config import FAMILIES
from srat.core.members import members
from srat.methods.before import Before
from srat.models import Init
from srat.report.terminal import live

ALSO = {
    "--lr": "optimizer.learning_rate",
    "--learning-rate": "optimizer.learning_rate",
    "--momentum": "optimizer.momentum",
    "--wd": "optimizer.weight_decay",
    "--weight-decay": "optimizer.weight_decay",
    "--bs": "batch_size",
    "--eps": "epsilon",
    "--dataset": "data",
    "--arch": "model",
}
"""What other programs call our flags, which they are taken for."""
HINTS = {"--alpha": "--step-size", "--gpu": "--device", "--gpus": "--devices"}
"""What other programs call flags, but not always these: α is a weight of the focal loss, too, and by their GPUs some
mean how many, some which."""
WITHOUT = ("init.path", *READ)
"""Settings without a flag: what a choice of its own names, and what is read from elsewhere."""
_PATH = re.compile(r"(?<!`)`([a-z]\w*(?:\.\w+)*)`(?!`)(?: (true|false)\b)?")


def make_console(command: str, *, quiet: bool = False, stderr: bool = False) -> Console:
    """Return the console of a command, which shows flags in the place of the settings' paths."""
    return live.make_console(quiet=quiet, stderr=stderr, words=partial(in_flags, command=command))


ADVISING = frozenset({"data", "plan"})
"""Commands that say what may help in a training, with its flags."""


def in_flags(text: str, command: str) -> str:
    """Return a text for the command line: flags in the place of the settings' paths.

    Args:
        text: it may have paths in backticks; what is no setting of the command stays as it is.
        command: its name.
    """
    return _PATH.sub(partial(_said, command), text) if "`" in text else text


def _said(command: str, found: re.Match[str]) -> str:
    path, value = found.groups()
    if flag(path) not in all_flags(command) and not (command in ADVISING and flag(path) in all_flags("train")):
        return found[0]
    return flag(path) if value is None else " ".join(words_of(path, value == "true"))


@cache
def all_flags(command: str) -> frozenset[str]:
    """Return the flags of a command, those of members that are not chosen among them."""
    # By name, as the commands import this module. One command has two kinds of arguments.
    there = vars(importlib.import_module(f"srat.cli.commands.{command}"))
    kinds = [value for name, value in there.items() if name.endswith("Arguments")]
    return frozenset({flag("plugin"), *(name for kind in kinds for name in kinds_of(kind(), every=True))})


def flags_of(value: Any) -> set[str]:
    """Return the flags of the settings in a dataclass, whose members decide which settings there are."""
    return set(kinds_of(value))


def kinds_of(value: Any, *, every: bool = False) -> dict[str, Any]:
    """Return the flags of the settings in a dataclass, each with the type of its value.

    Args:
        value: the dataclass; its members decide which settings there are.
        every: whether to go through all members of the families instead.
    """
    return {name: kind for path, kind in _settings(type(value), value, every=every) for name in _names(path, kind)}


def flags_of_member(member: type, family: str) -> set[str]:
    """Return the flags of the settings of a family's member."""
    return {name for path, kind in _settings(member, None, family) for name in _names(path, kind)}


def _settings(kind: type, value: Any, prefix: str = "", *, every: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield the path and the type of each setting in a dataclass, or in that of a value."""
    hints, bare = _types_of(kind)
    for name in (field.name for field in fields(kind)):
        marks, inner = getattr(hints[name], "__metadata__", ()), getattr(value, name, None)
        path = ".".join(part for part in (prefix, _called(name, marks)) if part)
        if every and (family := family_of(bare[name])):
            for member in members(family).values():
                yield from () if member.hidden else _settings(member, None, path)
        elif is_dataclass(inner):
            yield from _settings(type(inner), inner, path, every=every)
        elif tyro.conf.Positional not in marks and not family_of(bare[name]) and path not in WITHOUT:
            yield path, bare[name]


@cache
def _types_of(kind: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the types of a class's fields, with what is said of them and without."""
    return get_type_hints(kind, include_extras=True), get_type_hints(kind)


def family_of(kind: Any) -> Any:
    """Return the family of a field that holds a member, or may hold one; None of any other."""
    return next((each for each in (kind, *get_args(kind)) if each in FAMILIES.values()), None)


def _called(name: str, marks: tuple[Any, ...]) -> str:
    """Return what tyro calls a field; "" if the fields in it are to have no prefix."""
    given = [mark.name for mark in marks if isinstance(getattr(mark, "name", None), str)]
    return given[0] if given else name


def _names(path: str, kind: Any) -> Iterator[str]:
    yield flag(path)
    if path in SHORT and "." not in SHORT[path]:
        yield f"--{path.replace('_', '-')}"
    if kind is bool:
        yield from words_of(path, False)


class _Named:
    """Tells tyro the flags of a member's settings that are not called by their paths."""

    def __init__(self) -> None:
        self._within = False

    def __call__(self, info: StructTypeInfo) -> StructConstructorSpec | None:
        """Return a member as tyro itself reads it, but for the names of its fields; None of anything else."""
        family = next((name for name, kind in FAMILIES.items() if _is_of(info.type, kind)), None)
        if self._within or (family is None and info.type not in (Before, Init)):
            return None
        self._within = True
        try:
            found = ConstructorRegistry.get_struct_spec(info)
        finally:
            self._within = False
        assert isinstance(found, StructConstructorSpec)
        if info.type is Before:
            return replace(found, fields=tuple(_of_chosen(found.fields)))
        places = [f"{family or 'init'}.{field.name}" for field in found.fields]
        return replace(found, fields=tuple(map(_renamed, found.fields, places)))


def _of_chosen(fields: Iterable[StructFieldSpec]) -> Iterator[StructFieldSpec]:
    """Yield fields as tyro is to see them: of a member that there may be, the one that is there, if there is one."""
    for field in fields:
        if not family_of(field.type):
            yield field
        elif field.default is not None:
            yield replace(field, type=type(field.default))


def _is_of(kind: Any, family: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, family)


def _renamed(field: StructFieldSpec, path: str) -> StructFieldSpec:
    """Return a field with the flag of a setting's path, or without one."""
    short = SHORT.get(path, "")
    _, dot, last = short.rpartition(".")
    mark: Any = tyro.conf.Suppress
    if path not in WITHOUT:
        if not short:
            return field
        mark = tyro.conf.arg(name=last, metavar=last.upper()) if dot else tyro.conf.arg(aliases=(flag(last),))
    kind: Any = Annotated[field.type, mark]
    return replace(field, type=kind)


NAMES = ConstructorRegistry()
"""What tyro is to know of our flags."""
NAMES.struct_rule(_Named())

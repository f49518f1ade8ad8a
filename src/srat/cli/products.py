"""Flags that take several values: every combination of them is the words of a command."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from srat.cli.naming import ALSO
from srat.config.command_line import flag as flag_of
from srat.core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Given:
    """A flag, and what the words give it."""

    name: str
    """The flag as it was typed first, without its dashes."""
    values: tuple[tuple[str, ...], ...]
    """The words of each value, the flag's own among them."""

    @property
    def varies(self) -> bool:
        """Whether there are several values."""
        return len(self.values) > 1

    def said(self, value: tuple[str, ...]) -> str:
        """Return one of its values as people wrote it."""
        if len(value) == 1:
            return "no" if "no-" in value[0] else "yes"
        return " ".join(value[1:])


def split(args: Sequence[str], own: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """Return the words before any flag, those of flags of a command's own, and the others.

    Args:
        args: all words.
        own: the command's own flags, by name, with the types of their values.
    """
    first = list(itertools.takewhile(lambda word: not word.startswith("--"), args))
    of_own: list[str] = []
    others: list[str] = []
    for flag, values in _by_flag(args[len(first) :]):
        (of_own if flag.partition("=")[0] in own else others).extend([flag, *values])
    return first, of_own, others


def given(args: Sequence[str], known: Mapping[str, Any]) -> list[Given]:
    """Return what the words give each flag, in the order of the flags.

    A flag that takes one value may be followed by several, each for itself. One that takes a list is given again for
    another list, and a switch with both of its names.

    Args:
        args: the words, which begin with a flag.
        known: flags, by name, with the types of their values; others are taken for such of one value.

    Raises:
        UserError: if a flag has no value.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    names: dict[str, str] = {}
    for word, following in _by_flag(args):
        flag, equals, value = word.partition("=")
        values = ([value] if equals else []) + following
        ours = flag_of(ALSO[flag]) if flag in ALSO else flag
        kind = known.get(ours)
        new: list[tuple[str, ...]]
        setting = _without_no(ours) if kind is bool else ours
        names.setdefault(setting, _without_no(flag).removeprefix("--") if kind is bool else flag.removeprefix("--"))
        if kind is bool:
            if values:
                raise UserError(f"{flag}: expected no value, got '{values[0]}'")
            new = [(flag,)]
        elif not values:
            raise UserError(f"{flag}: expected a value, got none")
        else:
            new = [(flag, *values)] if takes_several(kind) else [(flag, each) for each in values]
        found.setdefault(setting, []).extend(new)
    return [Given(name=names[setting], values=tuple(values)) for setting, values in found.items()]


def combinations(flags: Sequence[Given]) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Yield, for every combination of values, the settings that vary with their values here, and all words."""
    for chosen in itertools.product(*(flag.values for flag in flags)):
        settings = {flag.name: flag.said(value) for flag, value in zip(flags, chosen, strict=True) if flag.varies}
        yield settings, [word for value in chosen for word in value]


def takes_several(kind: Any) -> bool:
    """Return whether a flag's value may be a list."""
    if get_origin(kind) in (Union, UnionType):
        return any(map(takes_several, get_args(kind)))
    return get_origin(kind) in (tuple, list)


def _by_flag(args: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each flag with the words that follow it."""
    flag, values = "", list[str]()
    for word in args:
        if word.startswith("--"):
            if flag:
                yield flag, values
            flag, values = word, []
        else:
            values.append(word)
    if flag:
        yield flag, values


def _without_no(flag: str) -> str:
    """Return the flag of a switch, of which this may be the one that turns it off."""
    head, dot, last = flag.rpartition(".")
    return f"{head}.{last.removeprefix('no-')}" if dot else f"--{last.removeprefix('--').removeprefix('no-')}"

"""Attacks by the words of commands, configurations and tables: a member's name or alias, or name-N with its steps."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, NamedTuple

from srat.attacks.base import Attack
from srat.attacks.pgd import PGD
from srat.attacks.searches import Search
from srat.core.errors import FieldError, UserError, require, unknown
from srat.core.members import choices, members, members_by_word, plain

_BALL = ("norm", "epsilon", "step_size")
"""What a new training attack keeps of the threat model; how hard to search is its own."""


class _Meant(NamedTuple):
    """What a word means."""

    kind: type[Attack] | type[Search]
    steps: dict[str, int]
    """The number of steps, by its field's name, if the word says one."""


def attack_names(*, training: bool = False) -> list[str]:
    """Return the names of the attacks, those of the references last.

    Args:
        training: those that can train, in place of those that can evaluate.
    """
    kinds = members(Attack)
    ours = [name for name in choices(Attack) if training or kinds[name].bounded]
    return [*ours, *([] if training else choices(Search))]


def attack_words(*, training: bool = False) -> list[str]:
    """Return the names of the attacks, after each that has steps its form with their number, "pgd-N".

    Args:
        training: those that can train, in place of those that can evaluate.
    """
    kinds = _kinds()
    stepped = {name for name in kinds if "steps" in kinds[name].settings()}
    return [
        word
        for name in attack_names(training=training)
        for word in ((name, f"{name}-N") if name in stepped else (name,))
    ]


def named(word: str, threat: PGD) -> Attack | Search:
    """Return the attack to evaluate under that a word means.

    Args:
        word: a name or an alias ("natural", "clean", "fgsm", "pgd", "autoattack", …), or name-N for an attack of N
            steps ("pgd-20").
        threat: gives norm, budget, step size, restarts, and the steps where the word says none.

    Raises:
        UserError: if there is no such attack, it is for training alone, or it has no ball in the norm.
    """
    kind, steps = _meant(word)
    check_evaluates(kind)
    linf = not kind.of_linf_alone() or threat.norm == "linf"
    require(linf, f"{kind.name}: expected the norm linf, got {threat.norm}; pgd-1 is one step in any norm")
    with _named_by(word):
        return kind(**given_by(threat, kind) | steps)


def named_for_training(word: str, threat: PGD, before: Attack) -> Attack:
    """Return the training attack that a word means.

    Args:
        word: as for `named`; a reference attack cannot train.
        threat: gives norm, budget and step size of an attack of another kind than ``before``.
        before: stays, where it is of that kind, but for the steps if the word says them.

    Raises:
        UserError: if there is no such attack, or it is for evaluation alone.
    """
    kind, steps = _meant(word, training=True)
    if not issubclass(kind, Attack):
        there = ", ".join(attack_words(training=True))
        raise UserError(f"`attack`: {kind.name} is for evaluation alone; what can train: {there}")
    with _named_by(word):
        if type(before) is kind:
            return replace(before, **steps)
        return kind(**{name: value for name, value in given_by(threat, kind).items() if name in _BALL} | steps)


@contextmanager
def _named_by(word: str) -> Iterator[None]:
    """Say of steps that an attack cannot have the word that names them."""
    try:
        yield
    except FieldError as error:
        if error.field != "steps":
            raise
        raise FieldError("attack", f"{error.expected} steps", word) from error


def check_evaluates(kind: type[Attack] | type[Search]) -> None:
    """Raise ``UserError`` if an attack is for training alone: what it finds lies beyond the budget."""
    there = f"what can evaluate: {', '.join(attack_words())}"
    require(kind.bounded, f"`attack`: {kind.name} leaves the ball and is for training alone; {there}")


def given_by(threat: PGD, kind: type[Attack] | type[Search]) -> dict[str, Any]:
    """Return the settings that an attack takes from a threat model, by name."""
    return {field.name: getattr(threat, field.name) for field in fields(threat) if field.name in kind.settings()}


def _kinds() -> dict[str, type[Attack] | type[Search]]:
    return {**members_by_word(Attack), **members_by_word(Search)}


def _meant(word: str, *, training: bool = False) -> _Meant:
    kinds, written = _kinds(), plain(word)
    if written in kinds:
        return _Meant(kinds[written], {})
    found = re.fullmatch(r"(.*?)-?([0-9]{1,9})", written)
    kind = kinds.get(found[1]) if found else None
    if found is None or kind is None or "steps" not in kind.settings():
        raise unknown("attack", word, attack_words(training=training))
    return _Meant(kind, {"steps": int(found[2])})

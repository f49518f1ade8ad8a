"""What goes wrong by the user's making, said in one line.

A setting is named by its path in a configuration, in backticks: `schedule.factor`. So Python and JSON call it; the
command line shows its flag instead.
"""

import difflib
from collections.abc import Iterable
from typing import Any

from srat.core.words import number

LONGEST = 1_500
JOINERS = "\u200c\u200d"
"""Without a width of their own: they part and join letters, as in Persian, and emoji."""
LOST_PEER = 76
"""Exit code of a process that ends because another one of its job has."""


class UserError(ValueError):
    """A mistake that the user can mend; its text is one line: what was expected, what came, what there is."""

    def __init__(self, message: str) -> None:
        # A stranger's names come in here: no line break, no terminal's control sequence, no page of text.
        line = printable(" ".join(message.split()))
        super().__init__(line if len(line) <= LONGEST else f"{line[:LONGEST]} …")


class FieldError(UserError):
    """A setting has a value that it cannot have.

    Args:
        field: its path in a configuration, ``"schedule.factor"``; of an attack, which has its place in several, the
            name of its field.
        expected: what was expected, ``"a number above 0 and at most 1"``.
        got: the value that came.
        bounds: those of the numbers expected, so that the text shows on which side of them ``got`` lies.
        advice: what to do about it.
    """

    def __init__(self, field: str, expected: str, got: Any, bounds: tuple[float, ...] = (), advice: str = "") -> None:
        self.field, self.expected, self.got, self.bounds, self.advice = field, expected, got, bounds, advice
        then = f"; {advice}" if advice else ""
        super().__init__(f"`{field}`: expected {expected}, got {_shown(got, bounds)}{then}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process makes the same."""
        return type(self), (self.field, self.expected, self.got, self.bounds, self.advice)


def _shown(value: Any, bounds: tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return ", ".join(_shown(each, bounds) for each in value) or "none"
    if isinstance(value, float):
        return number(value, *bounds)
    return "none" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


class UnreadableError(UserError):
    """A file is damaged, or not of a kind that is read."""


class LostPeerError(UserError):
    """Another process of the job has ended, and this one waits for it in vain; why is the other's to tell."""


def printable(text: str) -> str:
    """Return a stranger's text without control characters, fit for a terminal."""
    return "".join(each if each.isprintable() or each in JOINERS else "�" for each in text)


def unknown(kind: str, given: str, choices: Iterable[str]) -> UserError:
    """Return the error for a name that is not among ``choices``, with the nearest name and the whole list."""
    names = list(choices)
    return UserError(f"unknown {kind} '{given}'{nearest(given, names)}; there are: {', '.join(names) or 'none'}")


def nearest(given: str, choices: Iterable[str]) -> str:
    """Return ``", did you mean 'x'?"`` for the choice closest to ``given``, or nothing where none is close.

    A choice that begins with ``given`` is close, if there is one alone: eps is epsilon.
    """
    names = list(choices)
    longer = [name for name in names if len(given) > 1 and name.startswith(given)]
    close = longer if len(longer) == 1 else difflib.get_close_matches(given[:100], names, n=1, cutoff=0.7)
    return f", did you mean '{close[0]}'?" if close else ""


def require(condition: bool, message: str) -> None:
    """Raise ``UserError(message)`` unless ``condition`` holds."""
    if not condition:
        raise UserError(message)


def require_field(condition: bool, field: str, expected: str, got: Any, *bounds: float, advice: str = "") -> None:
    """Raise `FieldError` unless ``condition`` holds; its text is made only then."""
    if not condition:
        raise FieldError(field, expected, got, bounds, advice)


def require_amount(value: float, field: str) -> None:
    """Raise `FieldError` unless a value is a finite number, 0 or more."""
    require_field(0 <= value < float("inf"), field, "a finite number, 0 or more", value, 0)

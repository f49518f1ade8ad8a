"""What goes wrong by the user's making, said in one line."""

import difflib
from collections.abc import Iterable

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

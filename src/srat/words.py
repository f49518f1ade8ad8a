"""Words for people."""

from collections.abc import Sequence

NAMED = 3
"""Things of a kind, at the most, that a line names."""


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number with what is counted: "1 image", "1,200 images".

    Args:
        count: the number.
        one: the words after 1.
        several: the words after any other number; those after 1 with an s unless given.
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def few(names: Sequence[str]) -> str:
    """Return the first names of several, with an ellipsis for the others: "a, b, c, …"."""
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")

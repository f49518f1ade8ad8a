"""Names of strangers, made to fit a column of a table, and to stay apart from each other there."""

import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from srat.core.errors import JOINERS, printable

_SHARES = (2 / 3, 1 / 3, 5 / 6, 1 / 6)
"""Of the room, for the beginnings of names that look the same with a half of it: the first that tells them apart."""


@dataclass(frozen=True, kw_only=True)
class Name:
    """A cell with a name, which gives way where a table has too little room, and what goes with it, which does not."""

    name: str
    style: str = ""
    before: str = ""
    after: str = ""
    """A mark, in yellow."""

    @property
    def beside(self) -> int:
        """Columns of a terminal that the rest of the cell takes."""
        return cell_len(self.before) + cell_len(self.after)

    def shown(self, name: str) -> Text:
        """Return the cell with another name in it."""
        return Text.assemble((self.before + name, self.style), (self.after, "yellow"))

    def __rich__(self) -> Text:
        """Return the cell with its whole name."""
        return self.shown(printable(self.name))


def fitted(names: Mapping[str, int]) -> dict[str, str]:
    """Return what to show of each name: all of it where there is room, else its beginning and its end.

    No two look the same: those that would are numbered.

    Args:
        names: the columns of a terminal that there are for each name, 8 or more.
    """
    texts = {name: printable(name) for name in names}
    shown = {name: shortened(texts[name], width) for name, width in names.items()}
    alike = defaultdict(list)
    for name, text in shown.items():
        alike[_look(text)].append(name)
    for group in alike.values():
        if len(group) > 1:
            shown |= _told_apart({name: texts[name] for name in group}, names)
    if len(set(map(_look, shown.values()))) < len(shown):
        return {name: _numbered(texts[name], number, names[name]) for number, name in enumerate(names, 1)}
    return shown


def _told_apart(texts: Mapping[str, str], widths: Mapping[str, int]) -> dict[str, str]:
    """Return texts with more of their beginnings or ends, if they differ there; numbered, if not."""
    for share in _SHARES:
        shown = {name: shortened(text, widths[name], share=share) for name, text in texts.items()}
        if len(set(map(_look, shown.values()))) == len(shown):
            return shown
    return {name: _numbered(text, number, widths[name]) for number, (name, text) in enumerate(texts.items(), 1)}


def shortened(text: str, width: int, *, share: float = 1 / 2) -> str:
    """Return a text, or its beginning and its end with an ellipsis in the middle, in at most ``width`` columns.

    Args:
        text: what a terminal can print.
        width: columns of a terminal.
        share: of the room, for the beginning.
    """
    if cell_len(text) <= width:
        return text
    whole = _clusters(text)
    room = width - 1
    head = _leading(whole, round(room * share))
    tail = _leading(whole[::-1], room - cell_len(head), reverse=True)
    return head + "…" + tail


def _numbered(text: str, number: int, width: int) -> str:
    mark = f" ({number})"
    whole = cell_len(text) + len(mark) <= width
    return text + mark if whole else shortened(text, width - len(mark)) + mark


def _look(text: str) -> str:
    return unicodedata.normalize("NFC", "".join(each for each in text if each not in JOINERS))


def _clusters(text: str) -> list[str]:
    """Return the characters, each with the accents that follow it; an emoji that is made of several is one."""
    clusters: list[str] = []
    for character in text:
        if clusters and (cell_len(character) == 0 or clusters[-1].endswith(JOINERS[-1])):
            clusters[-1] += character
        else:
            clusters.append(character)
    return clusters


def _leading(clusters: Sequence[str], width: int, *, reverse: bool = False) -> str:
    taken: list[str] = []
    for cluster in clusters:
        width -= cell_len(cluster)
        if width < 0:
            break
        taken.append(cluster)
    return "".join(reversed(taken) if reverse else taken)
